-- Next events of each lane, past the lane's cursor, in publishing order. One statement for all lanes of a round,
-- sent after the claim has committed: merged with it, a lock wait would make it read with an old snapshot and return
-- what the holder before has just acknowledged. Lanes come back in the order given: a nested loop keeps it.
-- A cursor is microseconds since 2000-01-01 UTC and an id; OFFSET 0 keeps its conversion out of the row comparison.
-- Payloads above the inline limit stay NULL and are read in small groups right before they are produced.
SELECT lane.n, e.id, e.topic, e.dedupe_key, e.partition_key,
       CASE WHEN e.payload_bytes <= %(inline)s THEN e.payload::text END,
       e.created_at, e.attempts, e.headers, e.payload_bytes
FROM (
    SELECT tenant_id, timestamptz '2000-01-01 00:00:00+00' + after_us * interval '1 microsecond' AS after,
           after_id, quota, n
    FROM unnest(%(tenants)s::text[], %(after_us)s::bigint[], %(after_id)s::bigint[], %(quotas)s::int[])
         WITH ORDINALITY AS given (tenant_id, after_us, after_id, quota, n)
    OFFSET 0
) lane
CROSS JOIN LATERAL (
    SELECT id, topic, dedupe_key, partition_key, payload, payload_bytes, created_at, attempts,
           nullif(headers, '{}')::text AS headers
    FROM outbox_events
    WHERE status = 'pending' AND tenant_id = lane.tenant_id AND (created_at, id) > (lane.after, lane.after_id)
    ORDER BY created_at, id
    LIMIT lane.quota
) e
