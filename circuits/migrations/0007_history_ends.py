"""What circuits did by themselves may be deleted once it is a day old; what staff decided never."""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION circuits_history_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    %s
    RAISE EXCEPTION 'circuits_transitions is append-only: %% refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$
"""
OLD_MOVES_MAY_GO = """
    IF TG_OP = 'DELETE' AND OLD.why NOT IN ('staff', 'thresholds')
        AND OLD.at < clock_timestamp() - interval '1 day'
    THEN
        RETURN OLD;
    END IF;
"""


class Migration(migrations.Migration):
    dependencies = [("circuits", "0006_groups")]
    operations = [migrations.RunSQL(FUNCTION % OLD_MOVES_MAY_GO, FUNCTION % "")]
