"""A changed policy is told to the relays by the database, whoever changed it and however."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION outbox_policy_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox_policy', '');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_policy_changed AFTER INSERT OR UPDATE OR DELETE ON outbox_tenant_policies
FOR EACH STATEMENT EXECUTE FUNCTION outbox_policy_changed();
"""
BACKWARDS = """
DROP TRIGGER outbox_policy_changed ON outbox_tenant_policies;
DROP FUNCTION outbox_policy_changed();
"""


class Migration(migrations.Migration):
    dependencies = (("outbox", "0002_storage"),)
    operations = (migrations.RunSQL(FORWARDS, BACKWARDS),)
