-- The oldest events of all tenants. They belong to the tenants whose own oldest ones are the oldest: as many tenants as
-- events are asked for suffice, and then none of the events is younger than the last of these. So neither the backlog
-- is read nor sorted.
WITH RECURSIVE waiting AS (
    (
        SELECT tenant_id, created_at FROM outbox_events
        WHERE status = 'pending' ORDER BY tenant_id, created_at LIMIT 1
    )
    UNION ALL
    SELECT following.tenant_id, following.created_at
    FROM waiting CROSS JOIN LATERAL (
        SELECT tenant_id, created_at FROM outbox_events
        WHERE status = 'pending' AND tenant_id > waiting.tenant_id ORDER BY tenant_id, created_at LIMIT 1
    ) following
),
longest AS (
    SELECT tenant_id, created_at FROM waiting ORDER BY created_at, tenant_id LIMIT %(limit)s
),
bound AS (
    SELECT CASE WHEN count(*) < %(limit)s THEN 'infinity' ELSE max(created_at) END AS created_at FROM longest
),
oldest AS (
    SELECT e.id, e.created_at
    FROM longest CROSS JOIN LATERAL (
        SELECT id, created_at FROM outbox_events
        WHERE status = 'pending' AND tenant_id = longest.tenant_id AND created_at <= (SELECT created_at FROM bound)
        ORDER BY created_at, id LIMIT %(limit)s
    ) e
    ORDER BY e.created_at, e.id LIMIT %(limit)s
)
SELECT e.id, e.tenant_id, e.topic, e.partition_key, e.dedupe_key, e.payload::text, e.headers::text, e.attempts,
       e.created_at
FROM oldest CROSS JOIN LATERAL (SELECT * FROM outbox_events WHERE id = oldest.id) e
ORDER BY e.created_at, e.id
