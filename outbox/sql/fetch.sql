-- Next events of each lane, past the lane's cursor, in publishing order. One statement for all lanes of a round,
-- sent after the claim has committed: merged with it, a lock wait would make it read with an old snapshot and return
-- what the holder before has just acknowledged. Lanes come back in the order given, a nested loop keeps it.
-- Payloads above the inline limit stay NULL and are read in small groups right before they are produced.
SELECT lane.n, e.id, e.topic, e.dedupe_key, e.partition_key,
       CASE WHEN e.payload_bytes <= %(inline)s THEN e.payload::text END,
       e.created_at, e.attempts, e.headers, e.payload_bytes
FROM unnest(%(tenants)s::text[], %(after)s::timestamptz[], %(after_id)s::bigint[], %(limits)s::int[])
     WITH ORDINALITY AS lane (tenant_id, after, after_id, quota, n)
CROSS JOIN LATERAL (
    SELECT id, topic, dedupe_key, partition_key, payload, payload_bytes, created_at, attempts,
           nullif(headers, '{}')::text AS headers
    FROM outbox_events
    WHERE status = 'pending' AND tenant_id = lane.tenant_id AND (created_at, id) > (lane.after, lane.after_id)
    ORDER BY created_at, id
    LIMIT lane.quota
) e
