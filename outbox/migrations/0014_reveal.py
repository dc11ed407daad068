from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("outbox", "0013_decisions_about_circuits"),)
    operations = (
        migrations.AlterModelOptions(
            name="outboxevent",
            options={
                "permissions": (
                    ("replay_outboxevent", "Can have outbox events published again"),
                    ("discard_outboxevent", "Can discard outbox events"),
                    ("requeue_outboxevent", "Can make retries of outbox events due at once"),
                    ("reveal_outboxevent", "Can see what is redacted of outbox events"),
                )
            },
        ),
    )
