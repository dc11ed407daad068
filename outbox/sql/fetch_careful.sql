-- fetch.sql for lanes with keys that wait for a retry (or, by setting, behind a dead letter).
-- Events of such keys come back with attempts = -1 and no payload, so that the cursor moves past them and the backlog
-- of a waiting key is walked once a tenure. They count against the quota: the work of a round stays bounded.
-- A retry holds up what comes after it, and nothing before: several events of a key may wait for different times, and a
-- replayed one may be older than all of them. Left out, it would be passed over, and found by find_stranded.sql alone.
-- Scalar subqueries with LIMIT, not EXISTS: the planner would hash every waiting event of all tenants.
SELECT lane.n, e.id, e.topic, e.dedupe_key, e.partition_key,
       CASE WHEN e.payload_bytes <= %(inline)s AND NOT e.waits THEN e.payload::text END,
       e.created_at, CASE WHEN e.waits THEN -1 ELSE e.attempts END, e.headers, e.payload_bytes
FROM (
    SELECT tenant_id, timestamptz '2000-01-01 00:00:00+00' + after_us * interval '1 microsecond' AS after,
           after_id, quota, n
    FROM unnest(%(tenants)s::text[], %(after_us)s::bigint[], %(after_id)s::bigint[], %(quotas)s::int[])
         WITH ORDINALITY AS given (tenant_id, after_us, after_id, quota, n)
    OFFSET 0
) lane
CROSS JOIN LATERAL (
    SELECT event.id, event.topic, event.dedupe_key, event.partition_key, event.payload, event.payload_bytes,
           event.created_at, event.attempts, nullif(event.headers, '{}')::text AS headers,
           event.partition_key <> '' AND (
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
           ) AS waits
    FROM (
        SELECT id, tenant_id, topic, dedupe_key, partition_key, payload, payload_bytes, created_at, attempts, headers
        FROM outbox_events
        WHERE status = 'pending' AND tenant_id = lane.tenant_id AND (created_at, id) > (lane.after, lane.after_id)
        ORDER BY created_at, id
        LIMIT lane.quota
    ) event
) e
