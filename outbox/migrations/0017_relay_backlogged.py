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
                help_text="Lanes that had more to send than they could at the last heartbeat.",
            ),
        ),
    )
