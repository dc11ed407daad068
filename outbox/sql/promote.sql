-- Due events become pending, oldest first, a batch at a time. Several relays do this at once: each takes rows the others
-- have not locked. The floors of their lanes move back, always by a microsecond more than needed: a holder compares the
-- floor with the one it last saw, and a second event above an already lowered floor must not go unnoticed.
-- statement_timestamp() can be looked up in the index; clock_timestamp() would be compared with every scheduled event.
WITH due AS MATERIALIZED (
    SELECT id FROM outbox_events
    WHERE status = 'scheduled' AND available_at <= statement_timestamp()
    ORDER BY available_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE outbox_events e SET status = 'pending', available_at = NULL
    FROM due WHERE e.id = due.id
    RETURNING e.tenant_id, e.created_at
), oldest AS MATERIALIZED (
    SELECT tenant_id, min(created_at) AS created_at, count(*) AS events FROM promoted GROUP BY tenant_id
), lowered AS (
    UPDATE outbox_lanes l SET floor = least(l.floor, locked.created_at) - interval '1 microsecond'
    FROM (
        SELECT l.tenant_id, oldest.created_at FROM outbox_lanes l JOIN oldest USING (tenant_id)
        WHERE l.floor IS NOT NULL
        ORDER BY l.tenant_id FOR NO KEY UPDATE OF l
    ) locked
    WHERE l.tenant_id = locked.tenant_id
)
SELECT tenant_id, created_at, events FROM oldest
