-- Retries become due now and keep their failed attempts. Delayed events keep their time, which the application chose. Rows
-- that somebody else has locked are left out. The floors of their lanes, which the caller has locked, move back by a
-- microsecond more than needed: see promote.sql, of which this is the part that does not wait for available_at.
WITH chosen AS MATERIALIZED (
    SELECT id, status FROM outbox_events
    WHERE id = ANY (%(ids)s::bigint[]) AND status = ANY (%(statuses)s::text[]) AND attempts > 0
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), requeued AS (
    UPDATE outbox_events e SET status = 'pending', available_at = NULL
    FROM chosen WHERE e.id = chosen.id
    RETURNING e.id, e.tenant_id, e.created_at, chosen.status
), oldest AS MATERIALIZED (
    SELECT tenant_id, min(created_at) AS created_at FROM requeued GROUP BY tenant_id
), lowered AS (
    UPDATE outbox_lanes l SET floor = least(l.floor, oldest.created_at) - interval '1 microsecond'
    FROM oldest WHERE l.tenant_id = oldest.tenant_id AND l.floor IS NOT NULL
)
SELECT id, status FROM requeued ORDER BY id
