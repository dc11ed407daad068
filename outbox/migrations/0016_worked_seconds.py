"""How long workers were at a job, which its rate goes by: since it began it may have paused, or waited."""

from django.db import migrations, models

# Of jobs that were there before, more is not known.
FORWARDS = """
UPDATE outbox_jobs SET worked_seconds = extract(epoch FROM moved_at - started_at) WHERE moved_at > started_at;
"""


class Migration(migrations.Migration):
    dependencies = (("outbox", "0015_reveal"),)
    operations = (
        migrations.AddField(
            model_name="outboxjob",
            name="worked_seconds",
            field=models.FloatField(
                db_default=0,
                default=0,
                help_text="How long workers were at it, without pauses and what it waited for.",
            ),
        ),
        migrations.RunSQL(FORWARDS, migrations.RunSQL.noop),
    )
