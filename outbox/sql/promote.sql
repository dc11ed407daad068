-- Due events become pending, oldest first, a batch at a time. Lanes are locked before events, as a settle locks them, or
-- two could wait for each other: rows that were locked and then found to be no longer due stay locked to the end. Of
-- several relays that do this at once, one finds something, and the others find it done.
-- patient: waits for lanes that others have locked, as settles do for a moment. If not, their tenants are left out and
-- named with nothing promoted, so that the next call can go `without` them.
-- The floors of their lanes move back, always by a microsecond more than needed: a holder compares the floor with the one
-- it last saw, and a second event above an already lowered floor must not go unnoticed. A lane without a row gets one, or
-- whoever claims it at this moment would not wait for us and read past what it cannot see yet; its floor stays unknown,
-- and created_at travels as a rate clock, which says nothing when it is past.
-- statement_timestamp() can be looked up in the index; clock_timestamp() would be compared with every scheduled event.
-- coalesce keeps the second look away from that index, which it would go through once for each candidate.
WITH candidates AS MATERIALIZED (
    SELECT id, tenant_id FROM outbox_events
    WHERE status = 'scheduled' AND available_at <= statement_timestamp() AND tenant_id <> ALL (%(without)s::text[])
    ORDER BY available_at
    LIMIT %(limit)s
), tenants AS MATERIALIZED (
    SELECT DISTINCT tenant_id FROM candidates
), locked AS MATERIALIZED (
    SELECT tenant_id FROM outbox_lanes
    WHERE %(patient)s AND tenant_id = ANY (ARRAY(SELECT tenant_id FROM tenants))
    ORDER BY tenant_id
    FOR NO KEY UPDATE
), free AS MATERIALIZED (
    SELECT tenant_id FROM outbox_lanes
    WHERE NOT %(patient)s AND tenant_id = ANY (ARRAY(SELECT tenant_id FROM tenants))
    ORDER BY tenant_id
    FOR NO KEY UPDATE SKIP LOCKED
), busy AS MATERIALIZED (
    SELECT t.tenant_id FROM tenants t
    JOIN outbox_lanes l ON l.tenant_id = t.tenant_id
    WHERE NOT %(patient)s AND NOT EXISTS (SELECT FROM free WHERE free.tenant_id = t.tenant_id)
), due AS MATERIALIZED (
    SELECT e.id FROM candidates
    JOIN outbox_events e ON e.id = candidates.id
    WHERE coalesce(e.status = 'scheduled' AND e.available_at <= statement_timestamp(), false)
      AND (SELECT count(*) FROM locked) >= 0
      AND NOT EXISTS (SELECT FROM busy WHERE busy.tenant_id = e.tenant_id)
    FOR UPDATE OF e SKIP LOCKED
), promoted AS (
    UPDATE outbox_events e SET status = 'pending', available_at = NULL
    FROM due WHERE e.id = due.id
    RETURNING e.tenant_id, e.created_at
), oldest AS MATERIALIZED (
    SELECT tenant_id, min(created_at) AS created_at, count(*) AS events FROM promoted GROUP BY tenant_id
), lowered AS (
    INSERT INTO outbox_lanes AS l (tenant_id, rate_clock)
    SELECT tenant_id, created_at FROM oldest ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET floor = least(l.floor, excluded.rate_clock) - interval '1 microsecond'
    WHERE l.floor IS NOT NULL
)
SELECT tenant_id, created_at, events FROM oldest
UNION ALL
SELECT tenant_id, NULL, 0 FROM busy
