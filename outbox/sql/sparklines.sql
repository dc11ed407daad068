-- What was sent of some tenants, by how many steps ago; steps in which nothing was are left out. By primary key.
SELECT m.tenant_id,
       (extract(epoch FROM last.at - m.minute) / (60 * %(minutes)s))::int,
       m.sent
FROM date_bin(%(minutes)s * interval '1 minute', now(), timestamptz '2000-01-01 00:00:00+00') AS last (at)
JOIN outbox_minutes m ON m.tenant_id = ANY (%(tenants)s::text[]) AND m.step = %(minutes)s
    AND m.minute > last.at - %(points)s * %(minutes)s * interval '1 minute' AND m.minute <= last.at
WHERE m.sent > 0
