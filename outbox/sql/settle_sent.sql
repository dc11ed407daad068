-- Acknowledged events become sent, with the broker's receipt, whatever an operator did to them meanwhile.
-- Three arrays joined by id: one statement for a whole round.
UPDATE outbox_events e
SET status = 'sent', sent_at = clock_timestamp(), kafka_partition = r.kafka_partition, kafka_offset = r.kafka_offset,
    available_at = NULL
FROM unnest(%(ids)s::bigint[], %(partitions)s::int[], %(offsets)s::bigint[]) AS r (id, kafka_partition, kafka_offset)
WHERE e.id = r.id
