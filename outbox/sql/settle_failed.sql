-- Failed events: back off, or become dead letters. Only a pending one: an operator may have discarded it meanwhile.
UPDATE outbox_events e
SET status = CASE WHEN given.delay IS NULL THEN 'failed' ELSE 'scheduled' END,
    attempts = e.attempts + 1,
    available_at = clock_timestamp() + given.delay * interval '1 second',
    last_error = given.message, error_class = given.error_class
FROM unnest(%(ids)s::bigint[], %(delays)s::float8[], %(messages)s::text[], %(classes)s::text[])
     AS given (id, delay, message, error_class)
WHERE e.id = given.id AND e.status = 'pending'
