-- What is asked of an event beside what an index answers; what is not asked falls out when the statement is planned.
(%(topic)s::text IS NULL OR topic = %(topic)s)
AND (%(error_class)s::text IS NULL OR error_class = %(error_class)s)
AND (%(partition_key)s::text IS NULL OR partition_key = %(partition_key)s)
AND (%(created_before)s::timestamptz IS NULL OR created_at < %(created_before)s)
AND (%(up_to_id)s::bigint IS NULL OR id <= %(up_to_id)s)
