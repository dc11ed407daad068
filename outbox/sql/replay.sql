-- Events become pending again, as new ones but for their number, their time and the header that counts replays. Rows that
-- somebody else has locked are left out: whoever holds them is about to change them. The floors of their lanes, which the
-- caller has locked, move back by a microsecond more than needed: see promote.sql.
WITH chosen AS MATERIALIZED (
    SELECT id, status FROM outbox_events
    WHERE id = ANY (%(ids)s::bigint[]) AND status = ANY (%(statuses)s::text[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), replayed AS (
    UPDATE outbox_events e
    SET status = 'pending', attempts = 0, available_at = NULL, last_error = '', error_class = '',
        sent_at = NULL, discarded_at = NULL, kafka_partition = NULL, kafka_offset = NULL,
        headers = CASE
            -- What is no object was written by other ways than the API, and fails again.
            WHEN jsonb_typeof(e.headers) <> 'object' THEN e.headers
            WHEN e.headers ->> 'replay' ~ '^[0-9]{1,8}$'
            THEN e.headers || jsonb_build_object('replay', ((e.headers ->> 'replay')::int + 1)::text)
            ELSE e.headers || '{"replay": "1"}'
        END
    FROM chosen WHERE e.id = chosen.id
    RETURNING e.id, e.tenant_id, e.created_at, chosen.status
), oldest AS MATERIALIZED (
    SELECT tenant_id, min(created_at) AS created_at FROM replayed GROUP BY tenant_id
), lowered AS (
    UPDATE outbox_lanes l SET floor = least(l.floor, oldest.created_at) - interval '1 microsecond'
    FROM oldest WHERE l.tenant_id = oldest.tenant_id AND l.floor IS NOT NULL
)
SELECT id, status FROM replayed ORDER BY id
