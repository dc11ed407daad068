-- The last count and its tenants, those that wait longest first, from one snapshot.
SELECT clock_timestamp(), c.taken_at, c.tenants, c.pending, c.oldest_pending_at, c.scheduled, c.failed,
       b.tenant_id, b.pending, b.oldest_pending_at, b.scheduled, b.failed
FROM outbox_backlog_counts c
LEFT JOIN outbox_tenant_backlogs b ON c.taken_at IS NOT NULL
ORDER BY b.oldest_pending_at, b.failed DESC, b.tenant_id
