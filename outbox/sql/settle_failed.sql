-- Failed events: back off, or become dead letters. Only a pending one: an operator may have discarded it meanwhile.
-- held: for a topic, which burns one attempt, since an attempt is what keeps the successors of its key behind it.
UPDATE outbox_events e
SET status = CASE WHEN given.delay IS NULL THEN 'failed' ELSE 'scheduled' END,
    attempts = CASE WHEN given.held THEN greatest(e.attempts, 1) ELSE e.attempts + 1 END,
    available_at = clock_timestamp() + given.delay * interval '1 second',
    last_error = given.message, error_class = given.error_class
FROM unnest(%(ids)s::bigint[], %(delays)s::float8[], %(messages)s::text[], %(classes)s::text[],
            %(held)s::bool[]) AS given (id, delay, message, error_class, held)
WHERE e.id = given.id AND e.status = 'pending'
