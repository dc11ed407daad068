-- Topics of what these tenants have waiting, from the first events of each: a sample, but a topic that is missing is found
-- among them, for its events wait longest.
SELECT DISTINCT first.topic
FROM unnest(%(tenants)s::text[]) AS given (tenant_id)
CROSS JOIN unnest(ARRAY['pending', 'scheduled']) AS kind (status)
CROSS JOIN LATERAL (
    SELECT e.topic FROM outbox_events e
    WHERE e.status = kind.status AND e.tenant_id = given.tenant_id
    ORDER BY e.created_at
    LIMIT %(events)s
) first
ORDER BY first.topic
LIMIT %(most)s
