"""What the service answers to."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from somabrain.views.health import healthz, readyz
from somabrain.views.metrics import metrics

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
