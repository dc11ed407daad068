-- The event that stands in the way of another with the same key. A statement of its own: at READ COMMITTED it sees what
-- another transaction committed while the INSERT waited for it.
SELECT id, payload IS DISTINCT FROM %(payload)s::jsonb
FROM outbox_events
WHERE tenant_id = %(tenant_id)s AND dedupe_key = %(dedupe_key)s
