-- Renews the leases that are still ours, charges virtual time, tells which lanes are backlogged and reads policy, circuit
-- and floor again, all lanes at once.
-- The floor moves only if nobody has lowered it since we last saw it: whoever makes an old event pending does that.
-- blocked: a key of the lane waits for its next attempt, so the fetch must leave its successors out.
-- coalesce hides the owner from the planner: statistics say that almost no lane has one, and it would scan them all.
UPDATE outbox_lanes l
SET leased_until = clock_timestamp() + %(lease)s * interval '1 second',
    has_work = given.has_work, virtual_time = given.virtual_time,
    rate_clock = timestamptz '2000-01-01 00:00:00+00' + given.rate_clock * interval '1 microsecond',
    floor = CASE
        WHEN l.floor IS DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + given.seen * interval '1 microsecond'
        THEN l.floor
        ELSE timestamptz '2000-01-01 00:00:00+00' + given.floor * interval '1 microsecond'
    END
FROM unnest(%(tenants)s::text[], %(tokens)s::bigint[], %(virtual_times)s::float8[], %(rate_clocks)s::bigint[],
            %(seen)s::bigint[], %(floors)s::bigint[], %(has_work)s::bool[])
     AS given (tenant_id, token, virtual_time, rate_clock, seen, floor, has_work)
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = given.tenant_id
LEFT JOIN LATERAL (
    SELECT epoch, failures, by_probe, may_call
    FROM circuits_now WHERE tenant_id = given.tenant_id AND name = 'publish'
    OFFSET 0
) c ON true
WHERE l.tenant_id = given.tenant_id AND coalesce(l.owner = %(owner)s, false) AND l.token = given.token
RETURNING l.tenant_id, l.token, l.floor, coalesce(p.weight, 1), p.rate, p.batch_quota,
    coalesce(p.paused, false) AND coalesce(p.paused_until > clock_timestamp(), true)
        OR EXISTS (
            SELECT 1 FROM outbox_tenant_policies everyone
            WHERE everyone.tenant_id = '*' AND everyone.paused
              AND coalesce(everyone.paused_until > clock_timestamp(), true)
        ),
    coalesce((
        SELECT true FROM outbox_events e
        WHERE e.tenant_id = l.tenant_id AND e.status = 'scheduled' AND e.attempts > 0
        LIMIT 1
    ), false) AS blocked,
    coalesce(c.epoch, 0), coalesce(c.failures > 0, false), coalesce(c.by_probe, false), coalesce(c.may_call, true)
