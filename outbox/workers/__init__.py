"""Relays inside django-q2: a thread in every worker process, beside the ordinary tasks."""
