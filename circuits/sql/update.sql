-- Moves one circuit and tells its history, if nobody else has written it since it was read: the revision says so. One
-- statement, so that neither stands without the other although no transaction is open.
WITH changed AS (
    UPDATE circuits_tenant_circuits
    SET state = %(phase)s, epoch = %(epoch)s, failures = %(failures)s, last_failure_at = %(last_failure_at)s,
        trips = %(trips)s, opened_at = %(opened_at)s, open_until = %(open_until)s, probe_until = %(probe_until)s,
        probe_successes = %(probe_successes)s, closed_at = %(closed_at)s, override = %(override)s,
        override_by = %(override_by)s, override_reason = %(override_reason)s, override_until = %(override_until)s,
        revision = revision + 1
    WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND revision = %(revision)s
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
