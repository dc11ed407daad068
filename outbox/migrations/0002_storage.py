"""Lanes are updated in place; events die fast and are vacuumed by their number, not by their share of the table."""

from django.db import migrations

FORWARDS = """
ALTER TABLE outbox_lanes SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE outbox_events SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1
);
"""
BACKWARDS = """
ALTER TABLE outbox_lanes RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE outbox_events RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
    autovacuum_analyze_scale_factor, autovacuum_vacuum_insert_scale_factor
);
"""


class Migration(migrations.Migration):
    dependencies = (("outbox", "0001_initial"),)
    operations = (migrations.RunSQL(FORWARDS, BACKWARDS),)
