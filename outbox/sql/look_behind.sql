-- Pending events between a time and the cursor of each lane: what is under way, and what committed late. Left out are
-- keys that wait for a retry, or by setting behind a dead letter, where the lane may have any: the cursor has passed them
-- on purpose. Lanes come in the order given, as in fetch.sql, and all together are cut off at one limit.
SELECT lane.n, e.id
FROM (
    SELECT tenant_id, timestamptz '2000-01-01 00:00:00+00' + since_us * interval '1 microsecond' AS since,
           timestamptz '2000-01-01 00:00:00+00' + upto_us * interval '1 microsecond' AS upto, upto_id, careful, n
    FROM unnest(%(tenants)s::text[], %(since_us)s::bigint[], %(upto_us)s::bigint[], %(upto_id)s::bigint[],
                %(careful)s::bool[]) WITH ORDINALITY AS given (tenant_id, since_us, upto_us, upto_id, careful, n)
    OFFSET 0
) lane
CROSS JOIN LATERAL (
    SELECT event.id FROM outbox_events event
    WHERE event.status = 'pending' AND event.tenant_id = lane.tenant_id
      AND event.created_at >= lane.since AND (event.created_at, event.id) <= (lane.upto, lane.upto_id)
      AND NOT (lane.careful AND event.partition_key <> '' AND (
          coalesce((
              SELECT true FROM outbox_events retry
              WHERE retry.status = 'scheduled' AND retry.attempts > 0
                AND retry.tenant_id = event.tenant_id AND retry.partition_key = event.partition_key
                AND (retry.created_at, retry.id) < (event.created_at, event.id)
              LIMIT 1
          ), false)
          OR %(dead_letters_block)s AND coalesce((
              SELECT true FROM outbox_events dead
              WHERE dead.status = 'failed'
                AND dead.tenant_id = event.tenant_id AND dead.partition_key = event.partition_key
                AND (dead.created_at, dead.id) < (event.created_at, event.id)
              LIMIT 1
          ), false)
      ))
    ORDER BY event.created_at, event.id
    LIMIT %(most)s
) e
LIMIT %(most)s
