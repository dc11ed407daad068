-- Some of the events of one status by tenant: the next ones after a tenant's event of a certain time, in the order of
-- ix_outbox_status_tenant_created, which alone is read. WITH TIES, so that none at the end of a chunk is left out.
SELECT tenant_id, count(*), min(created_at), max(created_at)
FROM (
    SELECT tenant_id, created_at FROM outbox_events
    WHERE status = %(status)s AND (tenant_id, created_at) > (%(tenant)s::text, %(at)s::timestamptz)
    ORDER BY tenant_id, created_at
    FETCH FIRST %(limit)s ROWS WITH TIES
) chunk
GROUP BY tenant_id
ORDER BY tenant_id
