-- Error classes, or topics, that dead letters have, by a loose scan of ix_outbox_dead_letter_class or
-- ix_outbox_dead_letter_topic: one descent for each, so many of them at most, and how many it were. Of each, how many there
-- are, counted no further than a cap by entries of the same index; of staff limited to some tenants theirs, whoever else
-- has some before them. The largest of these.
WITH RECURSIVE groups (name, place) AS (
    (SELECT {by}, 1 FROM outbox_events WHERE status = 'failed' ORDER BY {by} LIMIT 1)
    UNION ALL
    SELECT following.name, groups.place + 1
    FROM groups
    CROSS JOIN LATERAL (
        SELECT e.{by} AS name FROM outbox_events e
        WHERE e.status = 'failed' AND e.{by} > groups.name
        ORDER BY e.{by} LIMIT 1
    ) following
    WHERE groups.place < %(names)s
)
SELECT looked_at.names, found.name, found.events, found.tenants
FROM (SELECT count(*) AS names FROM groups) looked_at
LEFT JOIN LATERAL (
    SELECT groups.name, counted.events, counted.tenants
    FROM groups
    CROSS JOIN LATERAL (
        SELECT count(*) AS events, count(DISTINCT capped.tenant_id) AS tenants FROM (
            SELECT e.tenant_id FROM outbox_events e
            WHERE e.status = 'failed' AND e.{by} = groups.name
              AND (%(tenants)s::text[] IS NULL OR e.tenant_id = ANY (%(tenants)s::text[]))
            LIMIT %(cap)s
        ) capped
    ) counted
    WHERE counted.events > 0
    ORDER BY counted.events DESC, groups.name
    LIMIT %(most)s
) found ON true
