-- A page of the events of some tenants, one tenant after the other: each status from an index in the order of time, all
-- of them merged. What no index answers is looked for among the first `most` of them. Statuses that are not asked for
-- fall out when the statement is planned. The tenants come in the order of their array, and a nested loop keeps it and
-- the order within each of them: to sort once more would be to read them all first.
SELECT looked_at.* FROM (
    SELECT found.* FROM
        unnest(%(tenants)s::text[], %(times)s::timestamptz[], %(numbers)s::bigint[])
            WITH ORDINALITY AS place (tenant_id, created_at, id, nth)
    CROSS JOIN LATERAL (
        -- ix_outbox_status_tenant_created
        (SELECT {columns} FROM outbox_events
         WHERE status = 'pending' AND 'pending' = ANY (%(statuses)s)
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_status_tenant_created
        (SELECT {columns} FROM outbox_events
         WHERE status = 'scheduled' AND 'scheduled' = ANY (%(statuses)s)
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_status_tenant_created
        (SELECT {columns} FROM outbox_events
         WHERE status = 'sent' AND 'sent' = ANY (%(statuses)s)
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_status_tenant_created
        (SELECT {columns} FROM outbox_events
         WHERE status = 'discarded' AND 'discarded' = ANY (%(statuses)s)
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_status_tenant_created
        (SELECT {columns} FROM outbox_events
         WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s)
           AND %(topic)s::text IS NULL AND %(error_class)s::text IS NULL
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_dead_letter_topic
        (SELECT {columns} FROM outbox_events
         WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s) AND topic = %(topic)s
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        UNION ALL
        -- ix_outbox_dead_letter_class
        (SELECT {columns} FROM outbox_events
         WHERE status = 'failed' AND 'failed' = ANY (%(statuses)s)
           AND %(topic)s::text IS NULL AND error_class = %(error_class)s
           AND tenant_id = place.tenant_id AND (created_at, id) {beyond} (place.created_at, place.id)
           AND created_at >= %(since)s AND created_at < %(before)s
         ORDER BY created_at {down}, id {down} LIMIT %(most)s)
        ORDER BY created_at {down}, id {down}
        LIMIT %(most)s
    ) AS found
    ORDER BY place.nth
    LIMIT %(most)s
) AS looked_at
WHERE {matches}
OFFSET %(skip)s LIMIT %(limit)s
