COPY outbox_events (tenant_id, topic, partition_key, dedupe_key, payload, headers, available_at) FROM STDIN
