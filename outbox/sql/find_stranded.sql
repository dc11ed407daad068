-- The net below all rules about floors: a pending event behind its lane's floor, which no relay would look for, moves
-- the floor back. Left out are keys that wait for a retry, or by setting behind a dead letter: they are found when that
-- is due. Lanes that are being settled come next time.
UPDATE outbox_lanes l SET floor = stranded.created_at - interval '1 microsecond'
FROM (
    SELECT lane.tenant_id, event.created_at
    FROM outbox_lanes lane
    CROSS JOIN LATERAL (
        SELECT e.created_at FROM outbox_events e
        WHERE e.status = 'pending' AND e.tenant_id = lane.tenant_id AND e.created_at < lane.floor
          AND NOT (e.partition_key <> '' AND (
              coalesce((
                  SELECT true FROM outbox_events retry
                  WHERE retry.status = 'scheduled' AND retry.attempts > 0
                    AND retry.tenant_id = e.tenant_id AND retry.partition_key = e.partition_key
                    AND (retry.created_at, retry.id) < (e.created_at, e.id)
                  LIMIT 1
              ), false)
              OR %(dead_letters_block)s AND coalesce((
                  SELECT true FROM outbox_events dead
                  WHERE dead.status = 'failed'
                    AND dead.tenant_id = e.tenant_id AND dead.partition_key = e.partition_key
                    AND (dead.created_at, dead.id) < (e.created_at, e.id)
                  LIMIT 1
              ), false)
          ))
        ORDER BY e.created_at LIMIT 1
    ) event
    WHERE lane.floor IS NOT NULL
    FOR NO KEY UPDATE OF lane SKIP LOCKED
) stranded
WHERE l.tenant_id = stranded.tenant_id
RETURNING l.tenant_id, l.floor
