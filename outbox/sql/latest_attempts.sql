-- The latest attempts at events of some tenants, among the last so many of all, and when the first was made that was not
-- looked at. Whose an attempt was its event knows: the primary keys are gone through, of attempts backwards, with one
-- descent for each event, until there are enough.
SELECT ARRAY(
           SELECT latest.id
           FROM (SELECT id, event_id FROM outbox_attempts ORDER BY id DESC LIMIT %(most)s) latest
           CROSS JOIN LATERAL (
               -- Neither turned round, to begin with all events of the tenants, nor taken for a join that reads them all.
               SELECT e.tenant_id FROM outbox_events e WHERE e.id = latest.event_id OFFSET 0
           ) whose
           WHERE whose.tenant_id = ANY (%(tenants)s)
           ORDER BY latest.id DESC
           LIMIT %(limit)s
       ),
       (SELECT at FROM outbox_attempts ORDER BY id DESC OFFSET %(most)s LIMIT 1)
