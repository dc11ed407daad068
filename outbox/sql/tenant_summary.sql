-- One tenant: what the last count found of it, what of it waits behind an open circuit now, its policy, and how much of its
-- rate it used lately. Known is who has a policy, a lane, a circuit or an event.
-- With it, its last dead letters, by ix_outbox_status_tenant_created, and those of its events that wait for another attempt,
-- by ix_outbox_blocked_key: so many of each are looked at, and grouped by what went wrong and on which topic.
SELECT now(), (SELECT taken_at FROM outbox_backlog_counts),
       coalesce(b.pending, 0), b.oldest_pending_at, coalesce(b.scheduled, 0), coalesce(b.failed, 0),
       CASE
           WHEN NOT everyone.may_call OR NOT publish.may_call THEN coalesce(b.pending, 0)
           ELSE 0
       END,
       p.tenant_id IS NOT NULL, coalesce(p.weight, 1), p.rate, p.batch_quota, p.backlog_limit, p.retention_days,
       coalesce(p.paused AND coalesce(p.paused_until > now(), true), false),
       p.paused_by, p.paused_reason, p.paused_until,
       everyone_paused.paused_by, everyone_paused.paused_reason, everyone_paused.paused_until,
       everyone.state, everyone.retry_at,
       (lately.sent / (60 * p.rate))::float8, round(lately.failed_attempts)::bigint,
       p.tenant_id IS NOT NULL OR b.tenant_id IS NOT NULL
           OR EXISTS (SELECT FROM outbox_lanes l WHERE l.tenant_id = given.tenant_id)
           OR EXISTS (SELECT FROM circuits_tenant_circuits c WHERE c.tenant_id = given.tenant_id)
           OR EXISTS (SELECT FROM outbox_events e WHERE e.tenant_id = given.tenant_id),
       (
           SELECT jsonb_agg(
               jsonb_build_object(
                   'error_class', error_class, 'topic', topic, 'dead_letters', dead_letters, 'retrying', retrying,
                   'newest_at', newest_at, 'message', message
               ) ORDER BY dead_letters DESC, retrying DESC, error_class, topic
           )
           FROM (
               SELECT error_class, topic, count(*) FILTER (WHERE dead) AS dead_letters,
                      count(*) FILTER (WHERE NOT dead) AS retrying, max(created_at) AS newest_at,
                      (array_agg(last_error ORDER BY created_at DESC))[1] AS message
               FROM (
                   (
                       SELECT true AS dead, error_class, topic, created_at, last_error FROM outbox_events
                       WHERE status = 'failed' AND tenant_id = %(tenant)s
                       ORDER BY created_at DESC LIMIT %(most)s
                   ) UNION ALL (
                       SELECT false, error_class, topic, created_at, last_error FROM outbox_events
                       WHERE status = 'scheduled' AND attempts > 0 AND tenant_id = %(tenant)s
                       ORDER BY partition_key LIMIT %(most)s
                   )
               ) failure
               GROUP BY error_class, topic
           ) failures
       )
FROM (SELECT %(tenant)s::text AS tenant_id) given
LEFT JOIN outbox_tenant_backlogs b ON b.tenant_id = given.tenant_id
LEFT JOIN outbox_tenant_policies p ON p.tenant_id = given.tenant_id
LEFT JOIN outbox_tenant_policies everyone_paused ON everyone_paused.tenant_id = '*' AND everyone_paused.paused
    AND coalesce(everyone_paused.paused_until > now(), true)
LEFT JOIN circuits_now publish ON publish.tenant_id = given.tenant_id AND publish.name = 'publish'
LEFT JOIN circuits_now everyone ON everyone.tenant_id = '*' AND everyone.name = 'publish'
CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.sent * part.counts), 0) AS sent, coalesce(sum(m.failed_attempts * part.counts), 0) AS failed_attempts
    FROM date_bin('1 minute', now(), timestamptz '2000-01-01 00:00:00+00') AS now_minute
    JOIN outbox_minutes m
        ON m.tenant_id = given.tenant_id AND m.step = 1 AND m.minute IN (now_minute, now_minute - interval '1 minute')
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN m.minute = now_minute THEN 1
            ELSE 1 - extract(epoch FROM now() - now_minute) / 60
        END AS counts
    ) part
) lately
