-- Tenants with events of one status: for those whose oldest one is oldest, its age and a capped count; the others
-- together as '_other'. A loose index scan, one descent a tenant, and never more than the cap for each count.
WITH RECURSIVE found (tenant_id, oldest) AS (
    (
        SELECT e.tenant_id, e.created_at FROM outbox_events e
        WHERE e.status = %(status)s
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
), ranked AS (
    SELECT tenant_id, oldest, row_number() OVER (ORDER BY oldest, tenant_id) <= %(top)s AS shown
    FROM found
), counted AS (
    SELECT CASE WHEN shown THEN ranked.tenant_id ELSE '_other' END AS tenant_id, oldest, events.number
    FROM ranked
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM (
            SELECT FROM outbox_events e
            WHERE e.status = %(status)s AND e.tenant_id = ranked.tenant_id
            LIMIT CASE WHEN shown THEN %(cap)s ELSE %(cap_of_others)s END
        ) capped
    ) events
)
SELECT tenant_id, count(*), sum(number)::bigint, extract(epoch FROM clock_timestamp() - min(oldest))::float8
FROM counted
GROUP BY tenant_id
