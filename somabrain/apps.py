from django.apps import AppConfig


class SomabrainConfig(AppConfig):
    name = "somabrain"
    verbose_name = "Service"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from somabrain.memory import checks  # noqa: F401  registers the system checks
