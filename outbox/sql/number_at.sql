-- The number that events have from a time on, about: numbers rise with time, so that halving finds it in a step for each
-- bit of the largest one. A few beside it are out of order, since numbers are drawn before rows are stamped.
WITH RECURSIVE halves (low, high) AS (
    SELECT min(id), max(id) + 1 FROM outbox_events
    UNION ALL
    SELECT CASE WHEN probe.is_older THEN probe.id + 1 ELSE low END, CASE WHEN probe.is_older THEN high ELSE middle.id END
    FROM halves
    CROSS JOIN LATERAL (SELECT low + (high - low) / 2 AS id) middle
    CROSS JOIN LATERAL (
        SELECT id, created_at < %(at)s AS is_older FROM outbox_events WHERE id >= middle.id ORDER BY id LIMIT 1
    ) probe
    WHERE low < high
)
SELECT max(low) FROM halves
