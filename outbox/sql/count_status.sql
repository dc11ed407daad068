-- How many events have a status, counted no further than a cap, by index entries alone; and how many the statistics of the
-- last ANALYZE would expect, for those above it.
SELECT (SELECT count(*) FROM (
            SELECT FROM outbox_events WHERE status = %(status)s ORDER BY tenant_id, created_at LIMIT %(cap)s
        ) capped),
       (SELECT (c.reltuples * s.most_common_freqs[array_position(s.most_common_vals::text::text[], %(status)s)])::bigint
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'status'
        WHERE c.oid = 'outbox_events'::regclass AND c.reltuples > 0)
