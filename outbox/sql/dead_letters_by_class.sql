-- Error classes that dead letters have, by a loose scan of ix_outbox_dead_letter_class: one descent for each. Of each, how
-- many there are, counted no further than a cap by entries of the same index; of staff limited to some tenants theirs.
WITH RECURSIVE classes (name, place) AS (
    (SELECT error_class, 1 FROM outbox_events WHERE status = 'failed' ORDER BY error_class LIMIT 1)
    UNION ALL
    SELECT following.error_class, classes.place + 1
    FROM classes
    CROSS JOIN LATERAL (
        SELECT e.error_class FROM outbox_events e
        WHERE e.status = 'failed' AND e.error_class > classes.name
        ORDER BY e.error_class LIMIT 1
    ) following
    WHERE classes.place < %(most)s
)
SELECT classes.name, counted.events, counted.tenants
FROM classes
CROSS JOIN LATERAL (
    SELECT count(*) AS events, count(DISTINCT capped.tenant_id) AS tenants FROM (
        SELECT e.tenant_id FROM outbox_events e
        WHERE e.status = 'failed' AND e.error_class = classes.name
          AND (%(tenants)s::text[] IS NULL OR e.tenant_id = ANY (%(tenants)s::text[]))
        LIMIT %(cap)s
    ) capped
) counted
WHERE counted.events > 0
ORDER BY counted.events DESC, classes.name
