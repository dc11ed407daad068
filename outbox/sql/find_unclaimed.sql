-- Lanes given back with work that nobody holds. Their events may have been discarded since; whoever claims such a lane finds
-- out, and until then it counts as waiting.
SELECT tenant_id FROM outbox_lanes WHERE has_work AND owner IS NULL
