-- Circuits that are not simply closed, by the index that holds nothing else. Those that opened last have a label of
-- their own; the others are counted by name and state. An expired override may leave a circuit closed after all.
WITH trouble AS (
    SELECT n.tenant_id, n.name, n.state,
        row_number() OVER (ORDER BY c.opened_at DESC NULLS LAST, c.tenant_id, c.name) AS place
    FROM circuits_tenant_circuits c
    JOIN circuits_now n ON n.tenant_id = c.tenant_id AND n.name = c.name
    WHERE (c.state <> 'closed' OR c.override <> 'auto') AND n.state <> 'closed'
)
SELECT CASE WHEN place <= %(labelled)s THEN tenant_id ELSE %(others)s END, name, state, count(*)
FROM trouble
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
