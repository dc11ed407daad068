-- fetch.sql for events that committed behind their lane's cursor, in publishing order.
SELECT tenant_id, id, topic, dedupe_key, partition_key,
       CASE WHEN payload_bytes <= %(inline)s THEN payload::text END,
       created_at, attempts, nullif(headers, '{}')::text, payload_bytes
FROM outbox_events
WHERE id = ANY (%(ids)s::bigint[]) AND status = 'pending'
ORDER BY tenant_id, created_at, id
