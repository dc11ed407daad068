-- What prune_events.sql would look at and delete; locks nothing.
WITH looked AS MATERIALIZED (
    SELECT id, created_at, greatest(sent_at, discarded_at) AS ended_at FROM outbox_events
    WHERE status = %(status)s AND tenant_id = %(tenant)s AND (created_at, id) > (%(at)s, %(id)s)
      AND created_at < %(since)s
    ORDER BY created_at, id
    LIMIT %(limit)s
), expired AS MATERIALIZED (
    SELECT id FROM looked
    WHERE coalesce(ended_at < %(since)s, true)
      AND NOT EXISTS (SELECT FROM outbox_attempts a WHERE a.event_id = looked.id AND a.at >= %(since)s)
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM expired), created_at, id
FROM looked
ORDER BY created_at DESC, id DESC
LIMIT 1
