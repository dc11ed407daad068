-- Leases on the free lanes among the candidates, least served first. Paused tenants, those above their rate and those
-- whose circuit is open are out before LIMIT, so they cost nobody a place. A lane that had run dry starts at the virtual
-- time of now: idle time is not saved up. Lanes that another relay is claiming at this moment are passed over.
-- The column `blocked` is renew.sql's. It is as of the statement's beginning: a lane that was another's since then, which
-- its token tells, counts as blocked, for an event may have failed there.
-- LATERAL with OFFSET 0 is one look at the index for each lane; of a plain join the planner may make a look at every
-- circuit there is.
WITH wanted AS MATERIALIZED (
    SELECT l.tenant_id,
           greatest(
               l.virtual_time, %(virtual_now)s - CASE WHEN l.has_work THEN %(most_credit)s ELSE 0 END
           ) AS virtual_time,
           l.has_work, p.weight, p.rate, p.batch_quota, c.epoch, c.failures, c.by_probe
    FROM outbox_lanes l
    LEFT JOIN outbox_tenant_policies p ON p.tenant_id = l.tenant_id
    LEFT JOIN LATERAL (
        SELECT may_call, epoch, failures, by_probe FROM circuits_now
        WHERE tenant_id = l.tenant_id AND name = 'publish' OFFSET 0
    ) c ON true
    WHERE l.tenant_id = ANY (%(candidates)s::text[])
      AND (l.owner IS NULL OR l.leased_until < clock_timestamp())
      AND coalesce(l.rate_clock + interval '1 second' / p.rate <= clock_timestamp(), true)
      AND NOT (coalesce(p.paused, false) AND coalesce(p.paused_until > clock_timestamp(), true))
      AND NOT EXISTS (
          SELECT 1 FROM outbox_tenant_policies everyone
          WHERE everyone.tenant_id = '*' AND everyone.paused
            AND coalesce(everyone.paused_until > clock_timestamp(), true)
      )
      AND coalesce(c.may_call, true)
      AND NOT EXISTS (
          SELECT 1 FROM circuits_now everyone
          WHERE everyone.tenant_id = '*' AND everyone.name = 'publish' AND everyone.state = 'forced_open'
      )
    ORDER BY 2, l.tenant_id
    LIMIT %(limit)s
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE outbox_lanes l
SET owner = %(owner)s, token = l.token + 1, virtual_time = w.virtual_time,
    floor = coalesce(l.floor, timestamptz '2000-01-01 00:00:00+00'),
    leased_until = clock_timestamp() + %(lease)s * interval '1 second'
FROM wanted w
WHERE l.tenant_id = w.tenant_id
RETURNING l.tenant_id, l.token, l.virtual_time, coalesce(w.weight, 1), w.rate, w.batch_quota, l.rate_clock, l.floor,
    coalesce((SELECT seen.token + 1 < l.token FROM outbox_lanes seen WHERE seen.tenant_id = l.tenant_id), true)
        OR coalesce((
            SELECT true FROM outbox_events e
            WHERE e.tenant_id = l.tenant_id AND e.status = 'scheduled' AND e.attempts > 0
            LIMIT 1
        ), false) AS blocked,
    coalesce(w.epoch, 0), coalesce(w.failures > 0, false), coalesce(w.by_probe, false), w.has_work
