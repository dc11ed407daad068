-- Where a next holder of these lanes would start.
SELECT tenant_id, floor FROM outbox_lanes WHERE tenant_id = ANY (%(tenants)s::text[])
