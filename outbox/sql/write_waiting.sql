-- How much waits at this minute's last count. Tenants of whom an earlier count of the minute knew something and this one does
-- not have nothing left. Only rows that differ are touched, in the order of add_minutes.sql.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(tenants)s::text[], %(waiting)s::bigint[]) AS g (tenant_id, waiting)
), counted AS MATERIALIZED (
    SELECT tenant_id, waiting FROM given
    UNION ALL
    SELECT old.tenant_id, 0 FROM outbox_minutes old
    WHERE old.minute = date_bin('1 minute', %(taken_at)s::timestamptz, timestamptz '2000-01-01 00:00:00+00')
      AND old.waiting > 0 AND NOT EXISTS (SELECT FROM given WHERE given.tenant_id = old.tenant_id)
)
INSERT INTO outbox_minutes (tenant_id, minute, waiting, latency)
SELECT counted.tenant_id, date_bin('1 minute', %(taken_at)s::timestamptz, timestamptz '2000-01-01 00:00:00+00'),
       counted.waiting, '{}'
FROM counted
LEFT JOIN outbox_minutes old
    ON old.tenant_id = counted.tenant_id
    AND old.minute = date_bin('1 minute', %(taken_at)s::timestamptz, timestamptz '2000-01-01 00:00:00+00')
WHERE old.waiting IS DISTINCT FROM counted.waiting
ORDER BY counted.tenant_id COLLATE "C"
ON CONFLICT (tenant_id, minute) DO UPDATE SET waiting = excluded.waiting
