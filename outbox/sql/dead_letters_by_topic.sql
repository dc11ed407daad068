-- Topics that dead letters have, by a loose scan of ix_outbox_dead_letter_topic: one descent for each. Of each, how
-- many there are, counted no further than a cap by entries of the same index; of staff limited to some tenants theirs.
WITH RECURSIVE topics (name, place) AS (
    (SELECT topic, 1 FROM outbox_events WHERE status = 'failed' ORDER BY topic LIMIT 1)
    UNION ALL
    SELECT following.topic, topics.place + 1
    FROM topics
    CROSS JOIN LATERAL (
        SELECT e.topic FROM outbox_events e
        WHERE e.status = 'failed' AND e.topic > topics.name
        ORDER BY e.topic LIMIT 1
    ) following
    WHERE topics.place < %(most)s
)
SELECT topics.name, counted.events, counted.tenants
FROM topics
CROSS JOIN LATERAL (
    SELECT count(*) AS events, count(DISTINCT capped.tenant_id) AS tenants FROM (
        SELECT e.tenant_id FROM outbox_events e
        WHERE e.status = 'failed' AND e.topic = topics.name
          AND (%(tenants)s::text[] IS NULL OR e.tenant_id = ANY (%(tenants)s::text[]))
        LIMIT %(cap)s
    ) capped
) counted
WHERE counted.events > 0
ORDER BY counted.events DESC, topics.name
