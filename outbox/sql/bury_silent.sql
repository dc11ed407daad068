-- Takes relays off the list that have been silent for ten leases, and frees what such ones have left: nobody asks for a
-- lane without work, so its lease would stand there, long over. Those of a relay taken off just now come next time.
WITH gone AS (
    DELETE FROM outbox_relays WHERE heartbeat_at < clock_timestamp() - %(lease)s * interval '10 seconds'
)
UPDATE outbox_lanes SET owner = NULL, leased_until = NULL, has_work = false
WHERE tenant_id IN (
    SELECT l.tenant_id FROM outbox_lanes l
    WHERE l.leased_until < clock_timestamp() AND NOT EXISTS (SELECT FROM outbox_relays r WHERE r.id = l.owner)
    ORDER BY l.tenant_id FOR UPDATE SKIP LOCKED
)
