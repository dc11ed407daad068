from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("outbox", "0006_dead_letter_indexes"),)

    operations = (
        migrations.AddField(
            model_name="outboxrelay",
            name="pace",
            field=models.FloatField(
                db_default=0, default=0, editable=False, help_text="Units of virtual time per second."
            ),
        ),
        migrations.AddField(
            model_name="outboxrelay",
            name="virtual_time",
            field=models.FloatField(
                editable=False, help_text="Where its backlogged lanes stand; empty without any.", null=True
            ),
        ),
    )
