-- The next events of one status of the tenants that somebody is limited to, in the order of a list: one descent into the
-- index for each tenant, and none once there are enough. As `tenant_id = ANY (...)`, PostgreSQL before 17 would read the
-- events of all tenants, or sort. The ordinality tells it that the tenants come in their order already; what is sorted are
-- ties of created_at. Backwards, ASC and > are replaced by their opposites, and the tenants come in the opposite order.
SELECT e.id, e.tenant_id, e.topic, e.partition_key, e.dedupe_key, e.status, e.attempts, e.error_class, e.created_at,
    e.available_at, e.sent_at
FROM unnest(%(tenants)s::text[], %(created)s::timestamptz[], %(ids)s::bigint[])
    WITH ORDINALITY AS t (tenant_id, created_at, id, place)
CROSS JOIN LATERAL (
    SELECT * FROM outbox_events
    WHERE status = %(status)s AND tenant_id = t.tenant_id AND (created_at, id) > (t.created_at, t.id)
        AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)
        AND (%(topic)s::text IS NULL OR topic = %(topic)s)
        AND (%(error_class)s::text IS NULL OR error_class = %(error_class)s)
    ORDER BY created_at ASC, id ASC
    LIMIT %(count)s
) e
ORDER BY t.place, e.created_at ASC, e.id ASC
LIMIT %(count)s
