-- One event. The database's clock alone says whether it is due, since hosts disagree; statement_timestamp() stands still
-- within the statement, so that status and available_at always match.
INSERT INTO outbox_events
    (tenant_id, topic, partition_key, dedupe_key, payload, headers, status, available_at)
VALUES (
    %(tenant_id)s, %(topic)s, %(partition_key)s, %(dedupe_key)s, %(payload)s::jsonb, %(headers)s::jsonb,
    CASE WHEN %(available_at)s::timestamptz > statement_timestamp() THEN 'scheduled' ELSE 'pending' END,
    CASE WHEN %(available_at)s::timestamptz > statement_timestamp() THEN %(available_at)s::timestamptz END
)
ON CONFLICT (tenant_id, dedupe_key) DO NOTHING
RETURNING id, status
