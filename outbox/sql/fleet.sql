-- What a relay must know of the others: lanes held by all, how many of these have a backlog, lanes that wait, the least
-- served lane with one, relays alive, how many of the others have a backlog that lasts, where the backlogged lanes of the
-- others stand now in virtual time, and how fast they are served.
-- A lease that is over is nobody's, or the lanes of a relay that has died would count until they have work again.
-- Tenants with limits of their own stay behind on purpose, and are no measure of who is least served.
-- A paused tenant, one above its rate or one whose circuit is open waits for nobody, and under a pause of everything
-- nobody does. Last comes the circuit of all tenants. A scalar subquery is asked only for lanes that would wait.
WITH alive AS (
    SELECT count(*) AS relays,
           count(*) FILTER (WHERE r.id <> %(owner)s AND r.backlogged > 0) AS laden,
           avg(r.virtual_time + r.pace * extract(epoch FROM clock_timestamp() - r.heartbeat_at)::float8)
               FILTER (WHERE r.id <> %(owner)s) AS level,
           avg(r.pace) FILTER (WHERE r.id <> %(owner)s AND r.virtual_time IS NOT NULL) AS pace
    FROM outbox_relays r
    WHERE r.heartbeat_at > clock_timestamp() - interval '5 seconds'
)
SELECT count(*) FILTER (WHERE held.held),
       count(*) FILTER (WHERE held.held AND l.has_work),
       count(*) FILTER (WHERE NOT held.held AND waits.waits),
       min(l.virtual_time) FILTER (
           WHERE (held.held AND l.has_work OR NOT held.held AND waits.waits) AND p.rate IS NULL AND p.batch_quota IS NULL
       ),
       max(l.virtual_time),
       (SELECT relays FROM alive), (SELECT laden FROM alive), (SELECT level FROM alive), (SELECT pace FROM alive),
       (SELECT everyone.state FROM circuits_now everyone WHERE everyone.tenant_id = '*' AND everyone.name = 'publish')
FROM outbox_lanes l
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = l.tenant_id
CROSS JOIN LATERAL (SELECT coalesce(l.leased_until >= clock_timestamp(), false) AS held) held
CROSS JOIN LATERAL (
    SELECT l.has_work AND coalesce(l.rate_clock + interval '1 second' / p.rate <= clock_timestamp(), true)
        AND NOT (coalesce(p.paused, false) AND coalesce(p.paused_until > clock_timestamp(), true))
        AND NOT EXISTS (
            SELECT 1 FROM outbox_tenant_policies everyone
            WHERE everyone.tenant_id = '*' AND everyone.paused
              AND coalesce(everyone.paused_until > clock_timestamp(), true)
        )
        AND NOT EXISTS (
            SELECT 1 FROM circuits_now everyone
            WHERE everyone.tenant_id = '*' AND everyone.name = 'publish' AND everyone.state = 'forced_open'
        )
        AND coalesce((
            SELECT c.may_call FROM circuits_now c WHERE c.tenant_id = l.tenant_id AND c.name = 'publish'
        ), true) AS waits
) waits
