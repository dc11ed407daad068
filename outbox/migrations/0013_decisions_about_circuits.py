"""What staff decide about circuits stands in the record of operators' actions as well.

Circuits do not know the outbox, and write on a session of their own, out of reach of any transaction here. So the
database copies each decision in the statement that makes it, whoever makes it.
"""

from django.db import migrations

# A process of the version before does not say what was decided; then the reason for the transition has to do.
FORWARDS = """
CREATE FUNCTION outbox_record_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earlier jsonb;
    later jsonb;
BEGIN
    IF NEW.why = 'thresholds' THEN
        SELECT jsonb_object_agg(key, value -> 0), jsonb_object_agg(key, value -> 1) INTO earlier, later
        FROM jsonb_each(NEW.changes);
    ELSE
        earlier := jsonb_build_object('state', NEW.from_state);
        later := jsonb_strip_nulls(jsonb_build_object('state', NEW.to_state, 'until', NEW.until));
    END IF;
    INSERT INTO outbox_operator_actions
        (at, actor, source, address, verb, reason, tenants, filter, counts, before, after)
    VALUES (
        NEW.at, NEW."by", coalesce(nullif(NEW.source, ''), 'code'), NEW.address,
        coalesce(nullif(NEW.decision, ''), NEW.why), NEW.reason, ARRAY[NEW.tenant_id],
        jsonb_build_object('tenant', NEW.tenant_id, 'circuit', NEW.name), '{}', earlier, later
    );
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_record_decision AFTER INSERT ON circuits_transitions
FOR EACH ROW WHEN (NEW.why IN ('staff', 'thresholds')) EXECUTE FUNCTION outbox_record_decision();
"""
BACKWARDS = """
DROP TRIGGER outbox_record_decision ON circuits_transitions;
DROP FUNCTION outbox_record_decision();
"""


class Migration(migrations.Migration):
    dependencies = [("outbox", "0012_pages"), ("circuits", "0005_what_staff_decided")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
