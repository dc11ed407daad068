from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("outbox", "0016_worked_seconds"),)
    operations = (
        migrations.AddField(
            model_name="outboxrelay",
            name="backlogged",
            field=models.IntegerField(
                db_default=0,
                default=0,
                help_text="Lanes with a backlog at the last heartbeat; one at least while it ends or finds no broker.",
            ),
        ),
    )
