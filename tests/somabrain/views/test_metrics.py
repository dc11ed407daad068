from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from circuits.collector import CircuitCollector
from circuits.models import StaffTenantScope
from outbox.metrics import OutboxCollector
from somabrain.views import metrics

# A scrape may count what waits, on a session of its own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_outbox", OutboxCollector())
    monkeypatch.setattr(metrics, "_circuits", CircuitCollector())


def names(text: str) -> Iterator[str]:
    return (family.name for family in text_string_to_metric_families(text))


def test_strangers_read_nothing(client: Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 401
    settings.METRICS_TOKEN = "sesame"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer guess"}).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Basic sesame"}).status_code == 401


def test_an_empty_token_opens_nothing(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 401


def test_the_token_opens(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "sesame"
    assert client.get("/metrics", headers={"authorization": "Bearer sesame"}).status_code == 200


RIGHTS = ("view_tenantbacklog", "view_tenantcircuit")


def staff(*rights: str, is_staff: bool = True, is_superuser: bool = False) -> User:
    user = User.objects.create_user("ann", is_staff=is_staff, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return user


def test_staff_who_may_see_backlogs_and_circuits_read_without_the_token(client: Client) -> None:
    client.force_login(staff(*RIGHTS))
    assert client.get("/metrics").status_code == 200


def test_superusers_read_without_the_token(client: Client) -> None:
    client.force_login(staff(is_superuser=True))
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("rights", [(), *((each,) for each in RIGHTS)])
def test_staff_without_the_rights_read_nothing(client: Client, rights: tuple[str, ...]) -> None:
    client.force_login(staff(*rights))
    assert client.get("/metrics").status_code == 401


def test_users_who_are_no_staff_read_nothing(client: Client) -> None:
    client.force_login(staff(*RIGHTS, is_staff=False))
    assert client.get("/metrics").status_code == 401


def test_staff_who_are_limited_to_tenants_read_nothing_of_the_others(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "sesame"
    user = staff(*RIGHTS)
    StaffTenantScope.objects.create(user=user, tenant_id="acme")
    client.force_login(user)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer sesame"}).status_code == 200


def test_development_is_open_and_shows_the_process_and_the_database(client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    shown = set(names(client.get("/metrics").text))
    assert {"python_info", "outbox_pending", "outbox_scrape_success", "circuits_scrape_success"} <= shown


def test_processes_that_share_a_directory_are_shown_together_with_the_database(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.DEBUG = True
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    shown = set(names(client.get("/metrics").text))
    assert "python_info" not in shown
    assert "outbox_pending" in shown


def test_the_scraper_chooses_the_format(client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
