from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from somabrain.embedded.paths import CHECKOUT
from tests.support.processes import ManageProcess, clean_environment

PRODUCTION = {
    "SECRET_KEY": "secret",
    "DATABASE_URL": "postgresql://ann:pass@db.example:5433/shop?sslmode=require&keepalives_idle=7",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
    "ALLOWED_HOSTS": "shop.example,www.shop.example",
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(**environment: str) -> dict[str, Any]:
        for name in os.environ.keys() - clean_environment().keys():
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(CHECKOUT / "somabrain" / "settings.py"))

    return read


def test_nothing_set_means_a_laptop(read: Any) -> None:
    settings = read()
    assert settings["DEBUG"] is True
    assert settings["DATABASES"]["default"]["ENGINE"] == "somabrain.embedded.database"
    assert settings["OUTBOX_KAFKA_CONFIG"] == "somabrain.embedded.broker.client_config"


def test_a_database_means_production_which_names_everything_that_is_missing(read: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert "DEBUG is false, so set SECRET_KEY, KAFKA_BOOTSTRAP_SERVERS, ALLOWED_HOSTS" in str(refusal.value)


@pytest.mark.parametrize("name", PRODUCTION)
def test_production_does_not_start_without(read: Any, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"set {name};"):
        read(DEBUG="false", **{**PRODUCTION, name: " "})


def test_production_reads_what_it_is_given(read: Any) -> None:
    settings = read(**PRODUCTION)
    database = settings["DATABASES"]["default"]
    assert settings["DEBUG"] is False
    assert settings["SECRET_KEY"] == "secret"
    assert settings["ALLOWED_HOSTS"] == ["shop.example", "www.shop.example"]
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", 5433, "shop")
    assert settings["OUTBOX_KAFKA_CONFIG"] == {"bootstrap.servers": "kafka.example:9092"}


def test_a_dead_network_ends_a_database_session_unless_the_url_knows_better(read: Any) -> None:
    options = read(**PRODUCTION)["DATABASES"]["default"]["OPTIONS"]
    assert options["tcp_user_timeout"] == 30_000
    assert options["keepalives_idle"] == 7
    assert options["sslmode"] == "require"


def test_production_is_served_over_https_only(read: Any) -> None:
    settings = read(**PRODUCTION)
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] > 0
    assert "SECURE_PROXY_SSL_HEADER" not in settings
    assert not read(**PRODUCTION, SECURE_SSL_REDIRECT="false")["SECURE_SSL_REDIRECT"]
    assert "SECURE_PROXY_SSL_HEADER" in read(**PRODUCTION, TRUST_X_FORWARDED_PROTO="true")


def test_development_on_a_given_database_is_asked_for_by_name(read: Any) -> None:
    settings = read(DEBUG="true", DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert settings["DATABASES"]["default"]["NAME"] == "shop"
    assert settings["OUTBOX_KAFKA_CONFIG"] == "somabrain.embedded.broker.client_config"


def test_only_postgresql_will_do(read: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="must begin with postgresql://"):
        read(DEBUG="true", DATABASE_URL="sqlite:///file")


def test_any_librdkafka_setting_comes_from_the_environment(read: Any) -> None:
    kafka = read(KAFKA_MESSAGE_TIMEOUT_MS="4000", KAFKA_SSL_CA_LOCATION="/ca.pem", KAFKA_ACKS="")["KAFKA"]
    assert kafka == {"message.timeout.ms": "4000", "ssl.ca.location": "/ca.pem"}


def test_outbox_settings_reach_the_outbox_as_they_were_written(read: Any) -> None:
    settings = read(OUTBOX_BATCH_SIZE="0", OUTBOX_NO_SUCH="x")
    assert (settings["OUTBOX_BATCH_SIZE"], settings["OUTBOX_NO_SUCH"]) == ("0", "x")


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"DEBUG": "false"}, "Error: DEBUG is false, so set SECRET_KEY, DATABASE_URL"),
        ({"OUTBOX_BATCH_SIZE": "0"}, "(outbox.E001) OUTBOX_BATCH_SIZE"),
        ({"OUTBOX_BATCHSIZE": "1"}, "(outbox.E001) OUTBOX_BATCHSIZE='1': no such setting"),
    ],
)
def test_a_command_that_cannot_start_says_why_without_a_traceback(
    tmp_path: Path, environment: dict[str, str], complaint: str
) -> None:
    process = ManageProcess("check", log=tmp_path / "log", environment=environment)
    assert process.wait(timeout=60) == 1
    process.kill()
    assert complaint in process.output()
    assert "Traceback" not in process.output()
