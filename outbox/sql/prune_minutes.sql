-- Some of the minutes, or quarters of an hour, that are over, by ix_outbox_minute. What somebody else has locked goes the
-- next time.
WITH expired AS MATERIALIZED (
    SELECT tenant_id, step, minute FROM outbox_minutes
    WHERE step = %(step)s AND minute < statement_timestamp() - %(hours)s * interval '1 hour'
    ORDER BY minute
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
DELETE FROM outbox_minutes m USING expired
WHERE m.tenant_id = expired.tenant_id AND m.step = expired.step AND m.minute = expired.minute
