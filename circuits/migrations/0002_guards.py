"""What the database itself sees to: the history is only added to, changes announce themselves, and a view that says
which calls may be made now, for statements of others."""

from django.db import migrations

# Failures that are only counted announce nothing: NOTIFY takes a lock on the whole cluster at its commit, and a
# process reads the circuits it uses on a rhythm anyway.
FORWARDS = """
CREATE FUNCTION circuits_history_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'circuits_transitions is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER circuits_history_stands BEFORE UPDATE OR DELETE ON circuits_transitions
FOR EACH ROW EXECUTE FUNCTION circuits_history_stands();

CREATE FUNCTION circuits_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed circuits_tenant_circuits := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    PERFORM pg_notify('circuits', changed.tenant_id || ' ' || changed.name);
    RETURN NULL;
END $$;
CREATE TRIGGER circuits_added_or_deleted AFTER INSERT OR DELETE ON circuits_tenant_circuits
FOR EACH ROW EXECUTE FUNCTION circuits_changed();
CREATE TRIGGER circuits_changed AFTER UPDATE ON circuits_tenant_circuits
FOR EACH ROW WHEN (
    (OLD.epoch, OLD.state, OLD.open_until, OLD.probe_until, OLD.override, OLD.override_until, OLD.mode,
     OLD.failure_threshold, OLD.decay, OLD.failure_rate, OLD.minimum_calls, OLD.rate_window, OLD.slow_call,
     OLD.reset_interval, OLD.max_reset_interval, OLD.half_open_probes, OLD.probe_lease, OLD.stable_time)
    IS DISTINCT FROM
    (NEW.epoch, NEW.state, NEW.open_until, NEW.probe_until, NEW.override, NEW.override_until, NEW.mode,
     NEW.failure_threshold, NEW.decay, NEW.failure_rate, NEW.minimum_calls, NEW.rate_window, NEW.slow_call,
     NEW.reset_interval, NEW.max_reset_interval, NEW.half_open_probes, NEW.probe_lease, NEW.stable_time)
)
EXECUTE FUNCTION circuits_changed();

-- statement_timestamp() and not clock_timestamp(): only a view without volatile functions becomes part of the statement
-- that uses it, so that a join finds the rows it needs by index.
CREATE VIEW circuits_now AS
SELECT tenant_id, name, epoch, failures,
    CASE
        WHEN overridden THEN override
        WHEN state = 'open' AND open_until <= now THEN 'half_open'
        ELSE state
    END AS state,
    CASE
        WHEN overridden THEN override = 'forced_closed'
        ELSE state = 'closed' OR coalesce(coalesce(open_until, probe_until) <= now, true)
    END AS may_call,
    NOT overridden AND state <> 'closed' AS by_probe,
    CASE
        WHEN overridden THEN CASE WHEN override = 'forced_open' THEN override_until END
        ELSE coalesce(open_until, probe_until)
    END AS retry_at
FROM (
    SELECT *, statement_timestamp() AS now,
        override <> 'auto' AND coalesce(override_until > statement_timestamp(), true) AS overridden
    FROM circuits_tenant_circuits
) circuit;
"""
BACKWARDS = """
DROP VIEW circuits_now;
DROP TRIGGER circuits_changed ON circuits_tenant_circuits;
DROP TRIGGER circuits_added_or_deleted ON circuits_tenant_circuits;
DROP FUNCTION circuits_changed();
DROP TRIGGER circuits_history_stands ON circuits_transitions;
DROP FUNCTION circuits_history_stands();
"""


class Migration(migrations.Migration):
    dependencies = (("circuits", "0001_initial"),)
    operations = (migrations.RunSQL(FORWARDS, BACKWARDS),)
