"""Replay, discard and requeue in the background: one row a job, run by django-q2 in batches."""
