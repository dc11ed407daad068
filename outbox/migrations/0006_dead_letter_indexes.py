"""Dead letters are listed by error class or topic in the order in which they are replayed. Free for the drain."""

from django.contrib.postgres.indexes import BTreeIndex
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("outbox", "0005_operator_actions")]

    operations = [
        AddIndexConcurrently(
            model_name="outboxevent",
            index=BTreeIndex(
                condition=models.Q(("status", "failed")),
                fields=["error_class", "tenant_id", "created_at"],
                name="ix_outbox_dead_letter_class",
            ),
        ),
        AddIndexConcurrently(
            model_name="outboxevent",
            index=BTreeIndex(
                condition=models.Q(("status", "failed")),
                fields=["topic", "tenant_id", "created_at"],
                name="ix_outbox_dead_letter_topic",
            ),
        ),
        RemoveIndexConcurrently(model_name="outboxevent", name="ix_outbox_dead_class"),
    ]
