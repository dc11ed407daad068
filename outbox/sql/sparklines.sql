-- What was sent of some tenants, by how many steps ago; steps in which nothing was are left out. By primary key.
SELECT m.tenant_id, step.ago, sum(m.sent)::bigint
FROM (
    SELECT date_bin(%(step)s, now(), timestamptz '2000-01-01 00:00:00+00') AS at
) last
CROSS JOIN LATERAL (
    SELECT tenant_id, minute, sent FROM outbox_minutes
    WHERE tenant_id = ANY (%(tenants)s::text[]) AND minute > last.at - %(points)s * %(step)s::interval
      AND minute < last.at + %(step)s
) m
CROSS JOIN LATERAL (
    SELECT (extract(epoch FROM last.at - date_bin(%(step)s, m.minute, timestamptz '2000-01-01 00:00:00+00'))
            / extract(epoch FROM %(step)s::interval))::int AS ago
) step
WHERE step.ago < %(points)s AND m.sent > 0
GROUP BY m.tenant_id, step.ago
