-- Who failed lately on these topics, by whichever relay: bounded, since it reads the last attempts by their numbers.
SELECT DISTINCT e.topic, e.tenant_id
FROM (
    SELECT event_id, at FROM outbox_attempts ORDER BY id DESC LIMIT %(most)s
) attempt
JOIN outbox_events e ON e.id = attempt.event_id
WHERE attempt.at > clock_timestamp() - %(seconds)s * interval '1 second' AND e.topic = ANY (%(topics)s::text[])
