-- A page of all events, by their number (outbox_events_pkey). The rest is looked for among the first `most` of them.
SELECT looked_at.* FROM (
    SELECT {columns} FROM outbox_events
    WHERE id {beyond} %(number)s
    ORDER BY id {down}
    LIMIT %(most)s
) AS looked_at
WHERE {matches}
ORDER BY id {down}
OFFSET %(skip)s LIMIT %(limit)s
