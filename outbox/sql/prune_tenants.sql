-- Tenants after a name that have events of one status, by a loose index scan: one descent each. With the time before which
-- their events go, and whether the oldest was created before it. No time: they stay. A policy of millions of days must
-- not leave the range of timestamps.
WITH RECURSIVE found (tenant_id, oldest) AS (
    (
        SELECT e.tenant_id, e.created_at FROM outbox_events e
        WHERE e.status = %(status)s AND e.tenant_id > %(after)s
        ORDER BY e.tenant_id, e.created_at LIMIT 1
    )
    UNION ALL
    SELECT following.tenant_id, following.created_at
    FROM found
    CROSS JOIN LATERAL (
        SELECT e.tenant_id, e.created_at FROM outbox_events e
        WHERE e.status = %(status)s AND e.tenant_id > found.tenant_id
        ORDER BY e.tenant_id, e.created_at LIMIT 1
    ) following
)
SELECT found.tenant_id, kept.since, coalesce(found.oldest < kept.since, false)
FROM (SELECT * FROM found LIMIT %(limit)s) found
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = found.tenant_id AND %(by_policy)s
CROSS JOIN LATERAL (
    SELECT statement_timestamp() - least(coalesce(p.retention_days, %(days)s::int), 365000) * interval '1 day' AS since
) kept
