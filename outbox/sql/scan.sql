-- Tenants with pending events among those not yet known: a loose index scan, one descent for each tenant found and one
-- for each gap between known names. The gaps keep it away from the dead entries of tenants that were just drained.
-- Paused tenants and those whose circuit is open are left out, or every look would offer them again, and a relay would
-- never find that all is done.
WITH RECURSIVE gaps (after, before) AS (
    SELECT * FROM unnest(%(after)s::text[], %(before)s::text[])
), found (tenant_id, before) AS (
    SELECT first.tenant_id, gaps.before
    FROM gaps
    CROSS JOIN LATERAL (
        SELECT e.tenant_id FROM outbox_events e
        WHERE e.status = 'pending' AND e.tenant_id > gaps.after AND e.tenant_id < gaps.before
        ORDER BY e.tenant_id LIMIT 1
    ) first
    UNION ALL
    SELECT following.tenant_id, found.before
    FROM found
    CROSS JOIN LATERAL (
        SELECT e.tenant_id FROM outbox_events e
        WHERE e.status = 'pending' AND e.tenant_id > found.tenant_id AND e.tenant_id < found.before
        ORDER BY e.tenant_id LIMIT 1
    ) following
)
SELECT found.tenant_id
FROM found
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = found.tenant_id
LEFT JOIN LATERAL (
    SELECT may_call FROM circuits_now WHERE tenant_id = found.tenant_id AND name = 'publish' OFFSET 0
) c ON true
WHERE NOT (coalesce(p.paused, false) AND coalesce(p.paused_until > clock_timestamp(), true))
  AND NOT EXISTS (
      SELECT 1 FROM outbox_tenant_policies everyone
      WHERE everyone.tenant_id = '*' AND everyone.paused
        AND coalesce(everyone.paused_until > clock_timestamp(), true)
  )
  AND coalesce(c.may_call, true)
  AND NOT EXISTS (
      SELECT 1 FROM circuits_now everyone
      WHERE everyone.tenant_id = '*' AND everyone.name = 'publish' AND everyone.state = 'forced_open'
  )
LIMIT %(limit)s
