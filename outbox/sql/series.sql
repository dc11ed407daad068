-- What happened to some tenants' events, step by step: those asked for and one before, each with a row. By primary key. For
-- all tenants together `*` is asked for. What waits is that of the step's last count; a
-- tenant without a row had nothing then, unless there were too many tenants for rows of their own.
-- now() is that of the transaction, so that all that is read in it is of the same steps.
SELECT step.at, coalesce(total.sent, 0), coalesce(total.failed, 0), coalesce(total.discarded, 0),
       coalesce(total.replayed, 0), waits.waiting, total.latency
FROM (
    SELECT date_bin(%(minutes)s * interval '1 minute', now(), timestamptz '2000-01-01 00:00:00+00')
           - n * %(minutes)s * interval '1 minute' AS at
    FROM generate_series(0, %(points)s) n
) step
CROSS JOIN LATERAL (
    SELECT sum(m.sent)::bigint AS sent, sum(m.failed)::bigint AS failed, sum(m.discarded)::bigint AS discarded,
           sum(m.replayed)::bigint AS replayed,
           ARRAY[
               sum(m.latency[1]), sum(m.latency[2]), sum(m.latency[3]), sum(m.latency[4]), sum(m.latency[5]),
               sum(m.latency[6]), sum(m.latency[7]), sum(m.latency[8]), sum(m.latency[9]), sum(m.latency[10]),
               sum(m.latency[11]), sum(m.latency[12]), sum(m.latency[13]), sum(m.latency[14]), sum(m.latency[15]),
               sum(m.latency[16]), sum(m.latency[17]), sum(m.latency[18]), sum(m.latency[19]), sum(m.latency[20]),
               sum(m.latency[21]), sum(m.latency[22]), sum(m.latency[23]), sum(m.latency[24])
           ]::bigint[] AS latency
    FROM outbox_minutes m
    WHERE m.tenant_id = ANY (%(tenants)s::text[]) AND m.step = %(minutes)s AND m.minute = step.at
) total
LEFT JOIN outbox_minutes counted ON counted.tenant_id = '*' AND counted.step = %(minutes)s
    AND counted.minute = step.at AND counted.waiting IS NOT NULL
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN counted.minute IS NULL THEN NULL
        WHEN count(w.waiting) < cardinality(%(tenants)s::text[]) AND EXISTS (
            SELECT FROM outbox_minutes o WHERE o.tenant_id = '_other' AND o.step = %(minutes)s AND o.minute = step.at AND o.waiting > 0
        ) THEN NULL
        ELSE coalesce(sum(w.waiting), 0)::bigint
    END AS waiting
    FROM outbox_minutes w
    WHERE w.tenant_id = ANY (%(tenants)s::text[]) AND w.step = %(minutes)s AND w.minute = step.at
) waits
ORDER BY step.at
