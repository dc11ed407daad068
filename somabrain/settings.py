"""The service's settings, read from the environment.

Without `DATABASE_URL` the service is a laptop: it runs on the embedded PostgreSQL, and DEBUG is on. Anything
else is taken for production, which names its database, broker, hosts and a secret of its own or does not start.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from somabrain import database_url, production
from somabrain import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent


class _LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def _kafka() -> dict[str, str]:
    """librdkafka's settings: `KAFKA_MESSAGE_TIMEOUT_MS` is `message.timeout.ms`; none has an underscore."""
    given = {name: value for name, value in os.environ.items() if name.startswith("KAFKA_") and value}
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in given.items()}


def _database() -> dict[str, Any]:
    if not (url := env.text("DATABASE_URL")):
        return {"ENGINE": "somabrain.embedded.database", "NAME": "somabrain"}
    database = database_url.parsed(url)
    # A dead network must end a session within half a minute, not after the kernel's two hours.
    patience = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    database["OPTIONS"] = {**patience, "tcp_user_timeout": 30_000, **database.get("OPTIONS", {})}
    return database


DEBUG = env.boolean("DEBUG", default=not os.environ.get("DATABASE_URL"))
if not DEBUG:
    production.refuse_development()

SECRET_KEY = env.text("SECRET_KEY") or production.DEVELOPMENT_KEY
ALLOWED_HOSTS = env.texts("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.texts("CSRF_TRUSTED_ORIGINS")

# Apps that stand before django_q and the admin override their commands and templates.
INSTALLED_APPS = [
    "somabrain",
    "outbox",
    "circuits",
    "csp",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_prometheus",
    "django_q",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "somabrain.headers.permissions_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "somabrain.urls"
WSGI_APPLICATION = "somabrain.wsgi.application"

DATABASES = {"default": {**_database(), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

KAFKA = _kafka()
# Without a broker's address, that of the embedded one: a function, since it is known only once that runs.
OUTBOX_KAFKA_CONFIG: Any = KAFKA if "bootstrap.servers" in KAFKA else "somabrain.embedded.broker.client_config"
# Both apps parse their own settings, and report those that they do not know.
globals().update({name: value for name, value in os.environ.items() if name.startswith(("OUTBOX_", "CIRCUITS_"))})

# Parsed by somabrain.memory.conf, which says what is wrong with them.
MEMORY_URL = env.text("MEMORY_URL")
MEMORY_TOKEN = env.text("MEMORY_TOKEN")
MEMORY_TIMEOUT = env.text("MEMORY_TIMEOUT", default="5.0")
MEMORY_CONNECT_TIMEOUT = env.text("MEMORY_CONNECT_TIMEOUT", default="2.0")
MEMORY_CONNECTIONS = env.text("MEMORY_CONNECTIONS", default="50")

# `retry` counts from the moment a task is fetched, so it must outlast the tasks fetched ahead of it; a
# positive `save_limit` would lock and load every finished task; workers run a relay, so none is recycled.
Q_CLUSTER: dict[str, Any] = {
    "name": "somabrain",
    "orm": "default",
    "workers": env.whole("QCLUSTER_WORKERS", default=2, at_least=1, at_most=1_000),
    "timeout": 90,
    "retry": 120,
    "poll": 0.1,
    "bulk": 1,
    "queue_limit": 2,
    "recycle": 0,
    "save_limit": -1,
    "catch_up": False,
    "ack_failures": True,
    "max_attempts": 1,
    "guard_cycle": 0.5,
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

STATIC_URL = "static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", default=str(BASE_DIR / ".cache" / "static")))

# Nothing inline, nothing from elsewhere: what gets into a page as text stays text.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

if not DEBUG:
    SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", default=True)
    # Probes and scrapers come over plain HTTP from inside the cluster.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", default=30 * 86_400, at_least=0, at_most=315_360_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Believed only behind a proxy that sets this header itself, since a client could.
    if env.boolean("TRUST_X_FORWARDED_PROTO", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

METRICS_TOKEN = env.text("METRICS_TOKEN")
PROMETHEUS_EXPORT_MIGRATIONS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.choice("LOG_LEVEL", _LogLevel, default="INFO").upper()},
    "loggers": {
        # Django adds a handler of its own for DEBUG, which would print every line twice.
        "django": {"handlers": [], "propagate": True},
        # A line for each call to the memory.
        "httpx": {"level": "WARNING"},
    },
}
