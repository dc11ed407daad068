"""When an event was given up: its retention begins then."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("outbox", "0007_relay_levels"),)
    operations = (
        migrations.AddField(
            model_name="outboxevent",
            name="discarded_at",
            field=models.DateTimeField(blank=True, help_text="When an operator gave it up.", null=True),
        ),
    )
