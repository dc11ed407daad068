-- A tenant's last dead letters, by ix_outbox_status_tenant_created, and those of its events that wait for another attempt,
-- by ix_outbox_blocked_key: so many of each are looked at, and grouped by what went wrong and on which topic.
SELECT error_class, topic, count(*) FILTER (WHERE dead), count(*) FILTER (WHERE NOT dead), max(created_at),
       (array_agg(last_error ORDER BY created_at DESC))[1]
FROM (
    (
        SELECT true AS dead, error_class, topic, created_at, last_error FROM outbox_events
        WHERE status = 'failed' AND tenant_id = %(tenant)s
        ORDER BY created_at DESC LIMIT %(most)s
    ) UNION ALL (
        SELECT false, error_class, topic, created_at, last_error FROM outbox_events
        WHERE status = 'scheduled' AND attempts > 0 AND tenant_id = %(tenant)s
        ORDER BY partition_key LIMIT %(most)s
    )
) failure
GROUP BY error_class, topic
ORDER BY 3 DESC, 4 DESC, 1, 2
