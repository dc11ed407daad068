-- Lanes given back with work that nobody holds, and that may be sent. Their events may have been discarded since; whoever
-- claims such a lane finds out, and until then it counts as waiting.
SELECT l.tenant_id
FROM outbox_lanes l
LEFT JOIN LATERAL (
    SELECT may_call FROM circuits_now WHERE tenant_id = l.tenant_id AND name = 'publish' OFFSET 0
) c ON true
WHERE l.has_work AND l.owner IS NULL AND coalesce(c.may_call, true)
