-- Tenants with a backlog limit and what was last counted of them; nothing is refused by a count that is out of date.
-- `overdue` says that nobody counts: as long as somebody does, next_at lies ahead, or was a moment ago.
SELECT p.tenant_id, p.backlog_limit, coalesce(b.pending, 0), c.taken_at,
       coalesce(c.taken_at > clock_timestamp() - (60 + 30 * c.seconds) * interval '1 second', false) AS usable,
       coalesce(c.next_at < clock_timestamp() - interval '10 seconds', true) AS overdue
FROM outbox_tenant_policies p
LEFT JOIN outbox_backlog_counts c ON true
LEFT JOIN outbox_tenant_backlogs b ON b.tenant_id = p.tenant_id
WHERE p.backlog_limit IS NOT NULL
