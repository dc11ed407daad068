-- Lanes before events, and in the order of their names, as a settle locks them: nobody waits in a circle. While they are
-- locked no relay claims, renews or settles them.
SELECT FROM outbox_lanes WHERE tenant_id = ANY (%(tenants)s::text[]) ORDER BY tenant_id FOR NO KEY UPDATE
