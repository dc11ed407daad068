-- What is applied waits no more, and neither does anything older of the same key. In the order of the primary key, so
-- that two processes that settle the same rows do not block each other.
DELETE FROM somabrain_queued_writes
WHERE event_id IN (
    SELECT queued.event_id
    FROM unnest(%(tenants)s::text[], %(namespaces)s::text[], %(keys)s::text[], %(versions)s::bigint[])
        AS applied (tenant_id, namespace, key, version)
    JOIN somabrain_queued_writes queued USING (tenant_id, namespace, key)
    WHERE queued.version <= applied.version
    ORDER BY queued.event_id
    FOR UPDATE OF queued
)
