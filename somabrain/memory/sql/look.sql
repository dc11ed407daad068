-- One trip before each write: the database's time, and what is queued of the key. The newest row is the end of an
-- index range; whether one waits is known at the first that does, so a long queue costs nothing.
SELECT
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    (
        SELECT max(version)
        FROM somabrain_queued_writes
        WHERE tenant_id = %(tenant_id)s AND namespace = %(namespace)s AND key = %(key)s
    ),
    EXISTS (
        SELECT
        FROM somabrain_queued_writes queued
        LEFT JOIN outbox_events event ON event.id = queued.event_id
        WHERE queued.tenant_id = %(tenant_id)s AND queued.namespace = %(namespace)s AND queued.key = %(key)s
            AND queued.rejected_at IS NULL AND event.status IS DISTINCT FROM 'discarded'
    )
