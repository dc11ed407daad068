-- Frees the lanes of a relay whose session is gone.
WITH freed AS (
    UPDATE outbox_lanes SET owner = NULL, leased_until = NULL
    WHERE tenant_id IN (SELECT tenant_id FROM outbox_lanes WHERE owner = %(relay)s ORDER BY tenant_id FOR UPDATE)
    RETURNING tenant_id
), gone AS (
    DELETE FROM outbox_relays WHERE id = %(relay)s
)
SELECT tenant_id FROM freed
