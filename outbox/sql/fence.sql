-- Locks the lanes of a settle in tenant order and says which of them are still ours. Owner and token: after a crash of
-- the database a token may step back, because claims do not wait for the disk.
-- coalesce hides the owner from the planner: statistics say that almost no lane has one, and it would scan them all.
SELECT l.tenant_id
FROM outbox_lanes l
JOIN unnest(%(tenants)s::text[], %(tokens)s::bigint[]) AS given (tenant_id, token) USING (tenant_id)
WHERE coalesce(l.owner = %(owner)s, false) AND l.token = given.token
ORDER BY l.tenant_id
FOR NO KEY UPDATE OF l
