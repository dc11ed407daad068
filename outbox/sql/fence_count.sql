-- Whether the claim is still ours, and stays so until the end of this transaction.
SELECT token FROM outbox_backlog_counts WHERE token = %(token)s FOR UPDATE
