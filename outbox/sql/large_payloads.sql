-- Payloads that were too large to come with the fetch. Still pending ones only: the others need not be sent.
SELECT id, payload::text FROM outbox_events WHERE id = ANY (%(ids)s::bigint[]) AND status = 'pending'
