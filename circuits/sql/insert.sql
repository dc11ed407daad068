-- The first row of a circuit, unless somebody else has made one meanwhile; with its history, as in update.sql.
WITH changed AS (
    INSERT INTO circuits_tenant_circuits
        (tenant_id, name, state, epoch, failures, last_failure_at, trips, opened_at, open_until, probe_until,
         probe_successes, closed_at, override, override_by, override_reason, override_until, revision)
    VALUES
        (%(tenant_id)s, %(name)s, %(phase)s, %(epoch)s, %(failures)s, %(last_failure_at)s, %(trips)s, %(opened_at)s,
         %(open_until)s, %(probe_until)s, %(probe_successes)s, %(closed_at)s, %(override)s, %(override_by)s,
         %(override_reason)s, %(override_until)s, 1)
    ON CONFLICT (tenant_id, name) DO NOTHING
    RETURNING tenant_id, name, revision
), history AS (
    INSERT INTO circuits_transitions
        (tenant_id, name, at, from_state, to_state, why, by, reason, until, failures, calls, error_code, epoch,
         decision, source, address)
    SELECT changed.tenant_id, changed.name, t.at, t.from_state, t.to_state, t.why, t.by, t.reason, t.until, t.failures,
        t.calls, t.error_code, t.epoch, t.decision, t.source, t.address
    FROM changed, jsonb_to_recordset(%(transitions)s::jsonb) AS t (
        at timestamptz, from_state text, to_state text, why text, by text, reason text, until timestamptz, failures int,
        calls int, error_code text, epoch bigint, decision text, source text, address inet
    )
)
SELECT revision FROM changed
