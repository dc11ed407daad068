-- What was counted. Only rows that differ are touched: not even locked are those that do not, as ON CONFLICT would do.
WITH counted AS MATERIALIZED (
    SELECT * FROM unnest(
        %(tenants)s::text[], %(pending)s::bigint[], %(oldest)s::timestamptz[], %(scheduled)s::bigint[],
        %(failed)s::bigint[]
    ) AS c (tenant_id, pending, oldest_pending_at, scheduled, failed)
), changed AS (
    UPDATE outbox_tenant_backlogs b
    SET pending = c.pending, oldest_pending_at = c.oldest_pending_at, scheduled = c.scheduled, failed = c.failed,
        taken_at = %(taken_at)s
    FROM counted c
    WHERE b.tenant_id = c.tenant_id
      AND (b.pending, b.oldest_pending_at, b.scheduled, b.failed)
          IS DISTINCT FROM (c.pending, c.oldest_pending_at, c.scheduled, c.failed)
), added AS (
    INSERT INTO outbox_tenant_backlogs (tenant_id, pending, oldest_pending_at, scheduled, failed, taken_at)
    SELECT c.tenant_id, c.pending, c.oldest_pending_at, c.scheduled, c.failed, %(taken_at)s
    FROM counted c
    WHERE NOT EXISTS (SELECT FROM outbox_tenant_backlogs b WHERE b.tenant_id = c.tenant_id)
), gone AS (
    DELETE FROM outbox_tenant_backlogs b WHERE NOT EXISTS (SELECT FROM counted c WHERE c.tenant_id = b.tenant_id)
)
UPDATE outbox_backlog_counts
SET taken_at = %(taken_at)s, seconds = %(seconds)s,
    tenants = (SELECT count(*) FROM counted WHERE pending > 0),
    pending = (SELECT coalesce(sum(pending), 0) FROM counted),
    oldest_pending_at = (SELECT min(oldest_pending_at) FROM counted),
    scheduled = (SELECT coalesce(sum(scheduled), 0) FROM counted),
    failed = (SELECT coalesce(sum(failed), 0) FROM counted),
    next_at = clock_timestamp() + %(rest)s * interval '1 second'
WHERE token = %(token)s
