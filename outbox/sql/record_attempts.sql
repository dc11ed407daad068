-- One row for each failed attempt; the event may have been pruned meanwhile.
INSERT INTO outbox_attempts (event_id, relay_id, error_class, code, message)
SELECT e.id, %(owner)s, given.error_class, given.code, given.message
FROM unnest(%(ids)s::bigint[], %(classes)s::text[], %(codes)s::int[], %(messages)s::text[])
     AS given (id, error_class, code, message)
JOIN outbox_events e ON e.id = given.id
