-- All figures of the overview, of all tenants or of some: what the last count found, what of it waits behind an open circuit
-- now, circuits that let nothing through, and what concerns everyone. From tables of tenants, never from the events.
WITH trouble AS MATERIALIZED (
    SELECT n.tenant_id, n.name, n.state, n.may_call
    FROM circuits_tenant_circuits c
    JOIN circuits_now n ON n.tenant_id = c.tenant_id AND n.name = c.name
    WHERE (c.state <> 'closed' OR c.override <> 'auto') AND c.tenant_id <> '*'
      AND (%(tenants)s::text[] IS NULL OR c.tenant_id = ANY (%(tenants)s::text[]))
), totals AS (
    SELECT tenants, pending, oldest_pending_at, scheduled, failed FROM outbox_backlog_counts
    WHERE %(tenants)s::text[] IS NULL
    UNION ALL
    SELECT count(*) FILTER (WHERE pending > 0), sum(pending)::bigint, min(oldest_pending_at), sum(scheduled)::bigint,
           sum(failed)::bigint
    FROM outbox_tenant_backlogs WHERE tenant_id = ANY (%(tenants)s::text[])
    HAVING %(tenants)s::text[] IS NOT NULL
)
SELECT now(), (SELECT taken_at FROM outbox_backlog_counts),
       coalesce(totals.tenants, 0), coalesce(totals.pending, 0), totals.oldest_pending_at,
       coalesce(totals.scheduled, 0), coalesce(totals.failed, 0),
       CASE
           WHEN NOT everyone.may_call THEN coalesce(totals.pending, 0)
           ELSE coalesce((
               SELECT sum(b.pending)::bigint FROM trouble
               JOIN outbox_tenant_backlogs b ON b.tenant_id = trouble.tenant_id
               WHERE trouble.name = 'publish' AND NOT trouble.may_call
           ), 0)
       END,
       (SELECT count(*) FROM trouble WHERE state IN ('open', 'forced_open')),
       everyone.state, everyone.retry_at,
       pause.paused_by, pause.paused_reason, pause.paused_until,
       (
           SELECT jsonb_agg(
               jsonb_build_object(
                   'id', id, 'host', host, 'pid', pid, 'version', version, 'started_at', started_at,
                   'heartbeat_at', heartbeat_at, 'lanes', lanes, 'rate', rate
               ) ORDER BY host, pid
           )
           FROM outbox_relays
       )
FROM (SELECT) one
LEFT JOIN totals ON true
LEFT JOIN circuits_now everyone ON everyone.tenant_id = '*' AND everyone.name = 'publish'
LEFT JOIN outbox_tenant_policies pause ON pause.tenant_id = '*' AND pause.paused
    AND coalesce(pause.paused_until > now(), true)
