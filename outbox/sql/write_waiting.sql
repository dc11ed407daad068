-- How much waits at the last count of a minute and of its quarter of an hour. Tenants of whom an earlier count knew something
-- and this one does not have nothing left, or, if there are too many for rows of their own, nothing that is known. Only
-- rows that differ are touched, in the order of add_minutes.sql.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(tenants)s::text[], %(waiting)s::bigint[]) AS g (tenant_id, waiting)
), step AS MATERIALIZED (
    SELECT minutes, date_bin(
        minutes * interval '1 minute', %(taken_at)s::timestamptz, timestamptz '2000-01-01 00:00:00+00'
    ) AS at
    FROM (VALUES (1), (15)) AS s (minutes)
), counted AS MATERIALIZED (
    SELECT given.tenant_id, step.minutes, step.at, given.waiting FROM given CROSS JOIN step
    UNION ALL
    SELECT old.tenant_id, step.minutes, step.at,
           CASE WHEN old.tenant_id <> '_other' AND EXISTS (SELECT FROM given WHERE given.tenant_id = '_other') THEN NULL ELSE 0 END
    FROM step
    JOIN outbox_minutes old ON old.step = step.minutes AND old.minute = step.at
    WHERE old.waiting > 0 AND NOT EXISTS (SELECT FROM given WHERE given.tenant_id = old.tenant_id)
)
INSERT INTO outbox_minutes (tenant_id, step, minute, waiting, latency)
SELECT counted.tenant_id, counted.minutes, counted.at, counted.waiting, '{}'
FROM counted
LEFT JOIN outbox_minutes old
    ON old.tenant_id = counted.tenant_id AND old.step = counted.minutes AND old.minute = counted.at
WHERE old.waiting IS DISTINCT FROM counted.waiting
ORDER BY counted.tenant_id COLLATE "C", counted.minutes
ON CONFLICT (tenant_id, step, minute) DO UPDATE SET waiting = excluded.waiting
