-- What a relay must know of the others: lanes leased, lanes that wait, the least served lane with work, relays alive.
SELECT count(*) FILTER (WHERE owner IS NOT NULL),
       count(*) FILTER (WHERE owner IS NULL AND has_work),
       min(virtual_time) FILTER (WHERE has_work),
       max(virtual_time),
       (SELECT count(*) FROM outbox_relays WHERE heartbeat_at > clock_timestamp() - interval '5 seconds')
FROM outbox_lanes
