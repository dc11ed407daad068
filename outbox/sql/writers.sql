-- Transactions of this database that may still commit events: they hold a transaction id. Prepared ones too.
-- A session whose columns are hidden from us shows no backend_type.
SELECT pid::text || '/' || backend_xid::text, xact_start, false
FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()
UNION ALL
SELECT 'prepared/' || gid, NULL, false FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
(SELECT 'hidden', NULL, true FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type IS NULL LIMIT 1)
