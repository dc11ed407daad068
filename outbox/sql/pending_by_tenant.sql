-- The first events of the tenants that have waited longest. A loose index scan finds each tenant's oldest event by one
-- step into ix_outbox_status_tenant_created, so the price is that of the tenants with work, whatever their backlogs.
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
    SELECT tenant_id, created_at FROM waiting ORDER BY created_at, tenant_id LIMIT %(max_tenants)s
)
SELECT e.id, e.tenant_id, e.topic, e.partition_key, e.dedupe_key, e.payload::text, e.headers::text, e.attempts,
       e.created_at
FROM longest CROSS JOIN LATERAL (
    SELECT * FROM outbox_events
    WHERE status = 'pending' AND tenant_id = longest.tenant_id
    ORDER BY created_at, id LIMIT %(limit_per_tenant)s
) e
ORDER BY longest.created_at, longest.tenant_id, e.created_at, e.id
