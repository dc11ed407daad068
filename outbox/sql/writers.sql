-- The database's clock, then the transactions of this database that may still commit events, with the earliest time at
-- which they can have created one. Those that hold a transaction id are named by it: it goes when the commit becomes
-- visible, while the session shows its transaction a moment longer. A statement without one may get it in a moment, since
-- created_at is taken just before: a second before at most, unless it waits for a lock, as an INSERT does while another
-- transaction has the same dedupe key, or for rows that a client copies; its name begins with ~. Relays and vacuums
-- create no events.
-- Prepared transactions have forgotten when they began. A session whose columns are hidden from us shows no backend_type.
SELECT '', clock_timestamp(), false
UNION ALL
SELECT CASE WHEN backend_xid IS NULL THEN '~' || pid ELSE pid || '/' || backend_xid::text END,
       CASE
           WHEN backend_xid IS NOT NULL THEN xact_start
           WHEN wait_event_type = 'Lock' OR wait_event = 'ClientRead' THEN query_start
           ELSE greatest(query_start, clock_timestamp() - interval '1 second')
       END,
       false
FROM pg_stat_activity
WHERE (backend_xid IS NOT NULL OR state = 'active') AND xact_start IS NOT NULL
  AND pid <> pg_backend_pid() AND datname = current_database() AND application_name NOT LIKE 'outbox-relay %%'
  AND backend_type IS DISTINCT FROM 'autovacuum worker'
UNION ALL
SELECT 'prepared/' || gid, NULL, false FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
(SELECT 'hidden', NULL, true FROM pg_stat_activity
 WHERE datname = current_database() AND (backend_type IS NULL OR backend_xid IS NOT NULL AND xact_start IS NULL) LIMIT 1)
