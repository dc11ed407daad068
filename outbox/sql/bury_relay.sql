-- Frees the lanes of a relay whose session is gone. Whether they have work is for the next holder to find out: a lane that
-- is said to have some and has none would count as waiting until somebody claims it.
WITH freed AS (
    UPDATE outbox_lanes SET owner = NULL, leased_until = NULL, has_work = false
    WHERE tenant_id IN (SELECT tenant_id FROM outbox_lanes WHERE owner = %(relay)s ORDER BY tenant_id FOR UPDATE)
    RETURNING tenant_id
), gone AS (
    DELETE FROM outbox_relays WHERE id = %(relay)s
)
SELECT tenant_id FROM freed
