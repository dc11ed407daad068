-- Some of the minutes that are over, by their index. What somebody else has locked goes the next time.
WITH expired AS MATERIALIZED (
    SELECT tenant_id, minute FROM outbox_minutes
    WHERE minute < statement_timestamp() - %(hours)s * interval '1 hour'
    ORDER BY minute
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
DELETE FROM outbox_minutes m USING expired
WHERE m.tenant_id = expired.tenant_id AND m.minute = expired.minute
