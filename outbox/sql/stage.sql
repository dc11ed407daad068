-- Where events wait that COPY cannot write at once, since it knows neither ON CONFLICT nor expressions.
-- Gone with the transaction, so that it needs no session of its own behind a pooler.
CREATE TEMPORARY TABLE IF NOT EXISTS outbox_staged (
    tenant_id text, topic text, partition_key text, dedupe_key text, payload text, headers text, available_at timestamptz
) ON COMMIT DROP
