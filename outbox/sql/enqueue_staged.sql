-- All staged events, in the order in which they were copied: a scan of a temporary table is neither parallel nor joins
-- another one half-way, so it begins at the first row, and created_at and id grow along.
INSERT INTO outbox_events
    (tenant_id, topic, partition_key, dedupe_key, payload, headers, status, available_at)
SELECT tenant_id, topic, partition_key, dedupe_key, payload::jsonb, headers::jsonb,
       CASE WHEN available_at > statement_timestamp() THEN 'scheduled' ELSE 'pending' END,
       CASE WHEN available_at > statement_timestamp() THEN available_at END
FROM pg_temp.outbox_staged
ON CONFLICT (tenant_id, dedupe_key) DO NOTHING
