-- Gives lanes back, with the service they received. See renew.sql for the floor.
-- coalesce hides the owner from the planner, which thinks that almost no lane has one and would walk them all.
UPDATE outbox_lanes l
SET owner = NULL, leased_until = NULL, has_work = given.has_work, virtual_time = given.virtual_time,
    rate_clock = timestamptz '2000-01-01 00:00:00+00' + given.rate_clock * interval '1 microsecond',
    floor = CASE
        WHEN l.floor IS DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + given.seen * interval '1 microsecond'
        THEN l.floor
        ELSE timestamptz '2000-01-01 00:00:00+00' + given.floor * interval '1 microsecond'
    END
FROM unnest(%(tenants)s::text[], %(tokens)s::bigint[], %(virtual_times)s::float8[], %(rate_clocks)s::bigint[],
            %(seen)s::bigint[], %(floors)s::bigint[], %(has_work)s::bool[])
     AS given (tenant_id, token, virtual_time, rate_clock, seen, floor, has_work)
WHERE l.tenant_id = given.tenant_id AND coalesce(l.owner = %(owner)s, false) AND l.token = given.token
