-- The next few events of a tenant, oldest first, and the end of those to which nothing has happened since a time: they were
-- neither sent, given up nor attempted. What somebody else has locked is passed over until the next run. Says how many
-- were looked at, how many are gone, and where to go on: past the entries that stay in the index until it is vacuumed.
WITH looked AS MATERIALIZED (
    SELECT id, created_at, greatest(sent_at, discarded_at) AS ended_at FROM outbox_events
    WHERE status = %(status)s AND tenant_id = %(tenant)s AND (created_at, id) > (%(at)s, %(id)s)
      AND created_at < %(since)s
    ORDER BY created_at, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), expired AS MATERIALIZED (
    SELECT id FROM looked
    WHERE coalesce(ended_at < %(since)s, true)
      AND NOT EXISTS (SELECT FROM outbox_attempts a WHERE a.event_id = looked.id AND a.at >= %(since)s)
), attempts AS (
    DELETE FROM outbox_attempts a USING expired WHERE a.event_id = expired.id
), gone AS (
    DELETE FROM outbox_events e USING expired WHERE e.id = expired.id RETURNING e.id
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM gone), created_at, id
FROM looked
ORDER BY created_at DESC, id DESC
LIMIT 1
