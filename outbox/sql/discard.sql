-- Events that are not to be published. One that is under way becomes sent all the same if the broker acknowledges it. Rows
-- that somebody else has locked are left out. A retry, and by setting a dead letter, kept the later events of its key
-- waiting, which relays have passed: the floors of such lanes, which the caller has locked, move back. See promote.sql.
WITH chosen AS MATERIALIZED (
    SELECT id, status FROM outbox_events
    WHERE id = ANY (%(ids)s::bigint[]) AND status = ANY (%(statuses)s::text[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), discarded AS (
    UPDATE outbox_events e SET status = 'discarded', available_at = NULL, discarded_at = clock_timestamp()
    FROM chosen WHERE e.id = chosen.id
    RETURNING e.id, e.tenant_id, e.created_at, e.attempts, chosen.status
), freed AS MATERIALIZED (
    SELECT tenant_id, min(created_at) AS created_at FROM discarded
    WHERE status = 'scheduled' AND attempts > 0 OR status = 'failed' AND %(dead_letters_block)s
    GROUP BY tenant_id
), lowered AS (
    UPDATE outbox_lanes l SET floor = least(l.floor, freed.created_at) - interval '1 microsecond'
    FROM freed WHERE l.tenant_id = freed.tenant_id AND l.floor IS NOT NULL
)
SELECT id, status FROM discarded ORDER BY id
