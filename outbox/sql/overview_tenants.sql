-- The tenants worst off. Looked at are the first of each kind of trouble, and then who was busy lately, so that this costs
-- the same however many events there are; of the minutes only the last two are read.
-- First come those with an open circuit, with attempts that fail now, or with an event that has waited for long; then those
-- with dead letters; then all others. Among them, who waits longest.
WITH clock AS MATERIALIZED (
    SELECT minute, 1 - extract(epoch FROM now() - minute) / 60 AS before
    FROM date_bin('1 minute', now(), timestamptz '2000-01-01 00:00:00+00') minute
), trouble AS MATERIALIZED (
    SELECT DISTINCT n.tenant_id
    FROM circuits_tenant_circuits c
    JOIN circuits_now n ON n.tenant_id = c.tenant_id AND n.name = c.name
    WHERE (c.state <> 'closed' OR c.override <> 'auto') AND c.tenant_id <> '*' AND n.state IN ('open', 'forced_open')
      AND (%(tenants)s::text[] IS NULL OR c.tenant_id = ANY (%(tenants)s::text[]))
), lately AS MATERIALIZED (
    SELECT m.tenant_id, sum(m.failed_attempts * part.counts) AS failed_attempts, sum(m.sent * part.counts) AS sent
    FROM clock
    JOIN outbox_minutes m ON m.step = 1 AND m.minute IN (clock.minute, clock.minute - interval '1 minute')
    CROSS JOIN LATERAL (SELECT CASE WHEN m.minute = clock.minute THEN 1 ELSE clock.before END AS counts) part
    WHERE m.tenant_id NOT IN ('*', '_other')
      AND (%(tenants)s::text[] IS NULL OR m.tenant_id = ANY (%(tenants)s::text[]))
    GROUP BY m.tenant_id
), candidates AS MATERIALIZED (
    (
        SELECT tenant_id FROM outbox_tenant_backlogs
        WHERE pending > 0 AND (%(tenants)s::text[] IS NULL OR tenant_id = ANY (%(tenants)s::text[]))
        ORDER BY oldest_pending_at, tenant_id LIMIT %(most)s
    ) UNION (
        SELECT tenant_id FROM outbox_tenant_backlogs
        WHERE failed > 0 AND (%(tenants)s::text[] IS NULL OR tenant_id = ANY (%(tenants)s::text[]))
        ORDER BY failed DESC, tenant_id LIMIT %(most)s
    ) UNION (
        SELECT trouble.tenant_id FROM trouble
        LEFT JOIN outbox_tenant_backlogs b ON b.tenant_id = trouble.tenant_id
        ORDER BY b.oldest_pending_at, trouble.tenant_id LIMIT %(most)s
    ) UNION (
        SELECT tenant_id FROM lately WHERE failed_attempts > 0
        ORDER BY failed_attempts DESC, tenant_id LIMIT %(most)s
    ) UNION (
        SELECT tenant_id FROM lately ORDER BY sent DESC, tenant_id LIMIT %(most)s
    ) UNION (
        SELECT tenant_id FROM unnest(%(tenants)s::text[]) AS given (tenant_id) ORDER BY tenant_id LIMIT %(most)s
    ) UNION (
        SELECT tenant_id FROM outbox_lanes WHERE %(tenants)s::text[] IS NULL ORDER BY tenant_id LIMIT %(most)s
    )
)
SELECT t.tenant_id, coalesce(b.pending, 0), b.oldest_pending_at, coalesce(b.scheduled, 0), coalesce(b.failed, 0),
       CASE
           WHEN NOT everyone.may_call OR NOT publish.may_call THEN coalesce(b.pending, 0)
           ELSE 0
       END,
       round(coalesce(lately.failed_attempts, 0))::bigint,
       worst.name, worst.state, worst.retry_at,
       (coalesce(lately.sent, 0) / (60 * p.rate))::float8,
       coalesce(p.paused AND coalesce(p.paused_until > now(), true), false), p.paused_until
FROM candidates t
LEFT JOIN outbox_tenant_backlogs b ON b.tenant_id = t.tenant_id
LEFT JOIN lately ON lately.tenant_id = t.tenant_id
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = t.tenant_id
LEFT JOIN circuits_now publish ON publish.tenant_id = t.tenant_id AND publish.name = 'publish'
LEFT JOIN circuits_now everyone ON everyone.tenant_id = '*' AND everyone.name = 'publish'
LEFT JOIN LATERAL (
    SELECT c.name, c.state, c.retry_at FROM circuits_now c
    WHERE c.tenant_id = t.tenant_id
    ORDER BY c.state NOT IN ('open', 'forced_open'), c.state = 'closed', c.name <> 'publish', c.name
    LIMIT 1
) worst ON true
ORDER BY CASE
             WHEN worst.state IN ('open', 'forced_open') OR lately.failed_attempts >= 0.5
                 OR b.oldest_pending_at < now() - %(late)s THEN 0
             WHEN b.failed > 0 THEN 1
             ELSE 2
         END,
         b.oldest_pending_at, lately.failed_attempts DESC NULLS LAST, b.failed DESC NULLS LAST,
         lately.sent DESC NULLS LAST, t.tenant_id
LIMIT %(most)s
