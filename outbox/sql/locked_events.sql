-- Locks those events that are free, and says which others have locked. What is no longer there is not said to be.
WITH ours AS MATERIALIZED (
    SELECT id FROM outbox_events WHERE id = ANY (%(ids)s::bigint[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT e.id FROM outbox_events e
WHERE e.id = ANY (%(ids)s::bigint[]) AND NOT EXISTS (SELECT FROM ours WHERE ours.id = e.id)
