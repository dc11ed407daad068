"""The history says what staff decided, in data and from where; forcing has a permission of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("circuits", "0004_staff_tenant_scopes")]

    operations = [
        migrations.AlterModelOptions(
            name="tenantcircuit",
            options={
                "ordering": ("tenant_id", "name"),
                "permissions": (("steer_tenantcircuit", "Can force and reset circuits"),),
            },
        ),
        migrations.AddField(
            model_name="circuittransition",
            name="decision",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What staff decided, such as force_open; empty: nothing.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="circuittransition",
            name="changes",
            field=models.JSONField(
                blank=True,
                help_text="Thresholds by name, each as it was and as it became; empty: none changed.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="circuittransition",
            name="source",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Where staff decided: admin or command; empty: in the application's code, or nobody did.",
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="circuittransition",
            name="address",
            field=models.GenericIPAddressField(blank=True, help_text="From where, in the admin.", null=True),
        ),
    ]
