-- A page of the events of some statuses, of all tenants: by tenant and time, as the indexes have them. What no index
-- answers is looked for among the first `most` of them. Statuses that are not asked for fall out when the statement is
-- planned.
SELECT looked_at.* FROM (
    -- ix_outbox_status_tenant_created
    (SELECT {columns} FROM outbox_events
     WHERE status = 'pending' AND 'pending' = ANY (%(statuses)s)
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_status_tenant_created
    (SELECT {columns} FROM outbox_events
     WHERE status = 'scheduled' AND 'scheduled' = ANY (%(statuses)s)
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_status_tenant_created
    (SELECT {columns} FROM outbox_events
     WHERE status = 'sent' AND 'sent' = ANY (%(statuses)s)
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_status_tenant_created
    (SELECT {columns} FROM outbox_events
     WHERE status = 'discarded' AND 'discarded' = ANY (%(statuses)s)
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_status_tenant_created
    (SELECT {columns} FROM outbox_events
     WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s)
           AND %(topic)s::text IS NULL AND %(error_class)s::text IS NULL
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_dead_letter_topic
    (SELECT {columns} FROM outbox_events
     WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s) AND topic = %(topic)s
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    UNION ALL
    -- ix_outbox_dead_letter_class
    (SELECT {columns} FROM outbox_events
     WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s)
           AND %(topic)s::text IS NULL AND error_class = %(error_class)s
       AND (tenant_id, created_at, id) {beyond} (%(tenant)s, %(time)s::timestamptz, %(number)s)
     ORDER BY tenant_id {down}, created_at {down}, id {down} LIMIT %(most)s)
    ORDER BY tenant_id {down}, created_at {down}, id {down}
    LIMIT %(most)s
) AS looked_at
WHERE {matches}
ORDER BY tenant_id {down}, created_at {down}, id {down}
OFFSET %(skip)s LIMIT %(limit)s
