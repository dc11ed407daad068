-- What is staged twice would be enqueued twice, were it not for the dedupe key; and it would cost.
TRUNCATE pg_temp.outbox_staged
