-- Which of the lanes known from before have work again that may be sent, without walking over what was drained below
-- their floor. An owner whose lease is over counts for nothing: it may be stopped, with its session alive.
-- LATERAL with LIMIT, not EXISTS: where almost nothing was pending when the table was last analysed, which is usual, the
-- planner would join, and look at all that was ever drained before it compares with a floor.
SELECT l.tenant_id
FROM outbox_lanes l
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = l.tenant_id
LEFT JOIN LATERAL (
    SELECT may_call FROM circuits_now WHERE tenant_id = l.tenant_id AND name = 'publish' OFFSET 0
) c ON true
CROSS JOIN LATERAL (
    SELECT FROM outbox_events e
    WHERE e.status = 'pending' AND e.tenant_id = l.tenant_id
      AND e.created_at >= coalesce(l.floor, '-infinity')
    ORDER BY e.created_at LIMIT 1
) waiting
WHERE l.tenant_id = ANY (%(tenants)s::text[]) AND (l.owner IS NULL OR l.leased_until < clock_timestamp())
  AND coalesce(l.rate_clock + interval '1 second' / p.rate <= clock_timestamp(), true)
  AND NOT (coalesce(p.paused, false) AND coalesce(p.paused_until > clock_timestamp(), true))
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
