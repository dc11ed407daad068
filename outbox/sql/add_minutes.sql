-- Adds to the counts of a minute and of its quarter of an hour: several relays, and operators beside them, write the same
-- rows. In the order of the names and after everything else in its transaction, so that nobody waits in a circle. Without
-- a minute it is the present one.
INSERT INTO outbox_minutes AS m (tenant_id, step, minute, sent, failed, failed_attempts, discarded, replayed, latency)
SELECT given.tenant_id, step.minutes,
       date_bin(
           step.minutes * interval '1 minute',
           coalesce(
               timestamptz '2000-01-01 00:00:00+00' + %(minute)s::bigint * interval '1 minute', clock_timestamp()
           ),
           timestamptz '2000-01-01 00:00:00+00'
       ),
       given.sent, given.failed, given.failed_attempts, given.discarded, given.replayed, given.latency::bigint[]
FROM unnest(%(tenants)s::text[], %(sent)s::bigint[], %(failed)s::bigint[], %(failed_attempts)s::bigint[],
            %(discarded)s::bigint[], %(replayed)s::bigint[], %(latencies)s::text[])
     AS given (tenant_id, sent, failed, failed_attempts, discarded, replayed, latency)
CROSS JOIN (VALUES (1), (15)) AS step (minutes)
ORDER BY given.tenant_id COLLATE "C", step.minutes
ON CONFLICT (tenant_id, step, minute) DO UPDATE
SET sent = m.sent + excluded.sent, failed = m.failed + excluded.failed,
    failed_attempts = m.failed_attempts + excluded.failed_attempts,
    discarded = m.discarded + excluded.discarded, replayed = m.replayed + excluded.replayed,
    latency = CASE
        WHEN excluded.latency = '{}' THEN m.latency
        ELSE ARRAY(
            SELECT coalesce(before.events, 0) + coalesce(added.events, 0)
            FROM unnest(m.latency) WITH ORDINALITY AS before (events, place)
            FULL JOIN unnest(excluded.latency) WITH ORDINALITY AS added (events, place) USING (place)
            ORDER BY place
        )
    END
