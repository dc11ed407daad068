"""The verbs of `manage.py circuits`."""
