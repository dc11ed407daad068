"""The verbs of `manage.py outbox`, one module each."""
