-- Moves that nobody decided, the oldest by their numbers, as many as one statement may take. Those of staff stay, few as
-- they are, so that the scan by number passes them over each time.
DELETE FROM circuits_transitions
WHERE id IN (
    SELECT id FROM circuits_transitions
    WHERE at < clock_timestamp() - %(days)s * interval '1 day' AND why NOT IN ('staff', 'thresholds')
    ORDER BY id
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)
