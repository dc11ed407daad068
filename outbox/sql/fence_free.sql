-- fence.sql that waits for nobody: a lane that another session has locked is not among them.
SELECT l.tenant_id
FROM outbox_lanes l
JOIN unnest(%(tenants)s::text[], %(tokens)s::bigint[]) AS given (tenant_id, token) USING (tenant_id)
WHERE coalesce(l.owner = %(owner)s, false) AND l.token = given.token
ORDER BY l.tenant_id
FOR NO KEY UPDATE OF l SKIP LOCKED
