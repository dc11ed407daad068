-- The right to count the backlog, if a count is due. Whoever gets it has it until next_at, which it moves on while it
-- counts; a process that dies is followed by another one then. Not an advisory lock: those need a session that lasts, which
-- a pooler in transaction mode does not give. When nothing is due, nothing is written and no row is locked.
INSERT INTO outbox_backlog_counts AS c (id, token, next_at)
SELECT 1, 1, clock_timestamp() + %(seconds)s * interval '1 second'
WHERE NOT EXISTS (SELECT FROM outbox_backlog_counts WHERE next_at > clock_timestamp())
ON CONFLICT (id) DO UPDATE SET token = c.token + 1, next_at = excluded.next_at
WHERE c.next_at <= clock_timestamp()
RETURNING token
