-- The circuits asked for, with the time of the database at which that was so. One that has no row has no revision.
SELECT given.tenant_id, given.name, c.revision, clock_timestamp(),
    c.state, c.epoch, c.failures, c.last_failure_at, c.trips, c.opened_at, c.open_until, c.probe_until,
    c.probe_successes, c.closed_at, c.override, c.override_by, c.override_reason, c.override_until,
    c.mode, c.failure_threshold, c.decay, c.failure_rate, c.minimum_calls, c.rate_window, c.slow_call,
    c.reset_interval, c.max_reset_interval, c.half_open_probes, c.probe_lease, c.stable_time
FROM unnest(%(tenants)s::text[], %(names)s::text[]) AS given (tenant_id, name)
LEFT JOIN circuits_tenant_circuits c ON c.tenant_id = given.tenant_id AND c.name = given.name
