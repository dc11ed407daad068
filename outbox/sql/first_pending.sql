-- The numbers of the first events that each of these tenants has waiting: those that will be sent next.
SELECT first.id
FROM unnest(%(tenants)s::text[]) AS given (tenant_id)
CROSS JOIN LATERAL (
    SELECT e.id FROM outbox_events e
    WHERE e.status = 'pending' AND e.tenant_id = given.tenant_id
    ORDER BY e.created_at, e.id
    LIMIT %(events)s
) first
