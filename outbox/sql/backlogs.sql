-- The last count and its tenants, those that wait longest first, from one snapshot; and what of it waits behind an open
-- circuit now.
SELECT clock_timestamp(), c.taken_at, c.tenants, c.pending, c.oldest_pending_at, c.scheduled, c.failed,
       b.tenant_id, b.pending, b.oldest_pending_at, b.scheduled, b.failed,
       CASE WHEN NOT everyone.may_call OR NOT circuit.may_call THEN b.pending ELSE 0 END
FROM outbox_backlog_counts c
LEFT JOIN outbox_tenant_backlogs b ON c.taken_at IS NOT NULL
LEFT JOIN circuits_now circuit ON circuit.tenant_id = b.tenant_id AND circuit.name = 'publish'
LEFT JOIN circuits_now everyone ON everyone.tenant_id = '*' AND everyone.name = 'publish'
ORDER BY b.oldest_pending_at, b.failed DESC, b.tenant_id
