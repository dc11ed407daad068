-- Moves the end of a claim, while it is ours.
UPDATE outbox_backlog_counts SET next_at = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE token = %(token)s
RETURNING token
