"""Pages of the admin end in time, say so, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from circuits.admin.circuit import CircuitAdmin
from circuits.console import limits
from circuits.models import TenantCircuit
from tests.support.confirming import confirm

LIST = "/admin/circuits/tenantcircuit/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short(settings: Settings) -> None:
    settings.CIRCUITS_CONSOLE_TIMEOUT = 0.1


@pytest.fixture
def long(settings: Settings, short: None) -> None:
    """For who looks at the limit and does not come to it."""
    settings.CIRCUITS_CONSOLE_TIMEOUT = 60


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading circuits takes longer than a page may."""
    found = CircuitAdmin.get_queryset

    def get_queryset(self: CircuitAdmin, request: HttpRequest) -> QuerySet[TenantCircuit]:
        sleep()
        return found(self, request)

    monkeypatch.setattr(CircuitAdmin, "get_queryset", get_queryset)


def sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")


def timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        ((value,),) = cursor.fetchall()
    return str(value)


def view(request: HttpRequest, *_: Any) -> HttpResponse:
    """Slow if it is asked to be."""
    if "slow" in request.GET:
        sleep()
    return HttpResponse(timeout())


def request(path: str, user: Any = None) -> HttpRequest:
    made = RequestFactory().get(path)
    made.user = user or User(username="ann", is_staff=True, is_active=True, is_superuser=True)
    return made


def limited(**how: Any) -> limits.View:
    return limits.limited(view, site=admin.site, using=lambda: "default", **how)


@pytest.mark.parametrize("rest", ["", "?q=acme&p=0", "1/change/", "1/history/", "1/decide/reset/"])
def test_a_page_that_takes_too_long_says_so(staff: Client, slow: None, rest: str) -> None:
    response = staff.get(LIST + rest)
    assert response.status_code == 503
    assert "no answer within 0.1 s" in response.text
    assert "Search for one tenant" in response.text
    assert timeout() == "0"


def test_it_says_what_was_asked(staff: Client, slow: None) -> None:
    page = staff.get(LIST, {"q": "<acme>", "visible_state": "open"}).text
    assert "<code>q</code>: &lt;acme&gt;" in page
    assert "<code>visible_state</code>: open" in page
    assert "Nothing was changed" not in page


def test_a_change_that_takes_too_long_is_undone(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = TenantCircuit.objects.create(tenant_id="acme", name="memory")
    save_model = CircuitAdmin.save_model

    def save_and_sleep(*args: Any) -> None:
        save_model(*args)
        sleep()

    monkeypatch.setattr(CircuitAdmin, "save_model", save_and_sleep)
    response = confirm(staff, f"{LIST}{circuit.pk}/change/", {"failure_threshold": "7", "reason": "it flaps"})
    assert response.status_code == 503
    assert "Nothing was changed." in response.text
    circuit.refresh_from_db()
    assert circuit.failure_threshold is None


@pytest.mark.parametrize("verb", ["force_open", "set_thresholds"])
def test_what_was_decided_for_good_before_is_said(
    staff: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings, verb: str
) -> None:
    """Circuits are steered in a session of their own, which no limit of a page undoes."""
    # Enough for two decisions, and short of the sleep.
    settings.CIRCUITS_CONSOLE_TIMEOUT = 2
    first, second = (TenantCircuit.objects.create(tenant_id=each, name="memory") for each in ("acme", "globex"))
    log_change = CircuitAdmin.log_change

    def log_and_sleep(self: CircuitAdmin, request: HttpRequest, circuit: TenantCircuit, *args: Any) -> Any:
        if circuit.pk == second.pk:
            sleep()
        return log_change(self, request, circuit, *args)

    monkeypatch.setattr(CircuitAdmin, "log_change", log_and_sleep)
    asked = {"action": verb, "_selected_action": [first.pk, second.pk], "confirmed": "yes", "reason": "a move"}
    response = staff.post(LIST, {**asked, "failure_threshold": "7"} if verb == "set_thresholds" else asked)
    assert response.status_code == 503
    text = " ".join(response.text.split())
    if verb == "force_open":
        assert "this was done, and holds: Forced open: acme memory; Forced open: globex memory." in text
    else:
        assert "Nothing was changed." in text
    found = set(TenantCircuit.objects.values_list("override", "failure_threshold"))
    assert found == {("forced_open" if verb == "force_open" else "auto", None)}


def test_a_template_is_under_the_limit_as_well(long: None) -> None:
    def lazy(request: HttpRequest) -> HttpResponse:
        return TemplateResponse(request, "admin/404.html", {"title": timeout, "exception": ""})

    in_time = limits.limited(lazy, site=admin.site, using=lambda: "default")
    assert b"1min" in getattr(in_time(request("/")), "content", b"")


def test_a_fragment_is_answered_with_a_fragment() -> None:
    response: Any = limited(fragment=True)(request("/?slow=1"))
    text = response.render().content.decode()
    assert response.status_code == 503
    assert text.startswith('<p role="alert">')
    assert "<html" not in text


def test_the_limit_ends_with_the_page(long: None) -> None:
    response: Any = limited()(request("/"))
    assert response.content == b"1min"
    assert timeout() == "0"


def test_inside_of_a_transaction_its_own_limit_is_back_afterwards(long: None, settings: Settings) -> None:
    """As with ATOMIC_REQUESTS."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '7min'")
        assert getattr(limited()(request("/")), "content", b"") == b"1min"
        assert timeout() == "7min"
        settings.CIRCUITS_CONSOLE_TIMEOUT = 0.1
        assert limited()(request("/?slow=1")).status_code == 503
        assert timeout() == "7min"
    assert timeout() == "0"


def test_a_lower_limit_stays(long: None) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '50s'")
        assert getattr(limited()(request("/")), "content", b"") == b"50s"
        with limits.limit(using="default", seconds=20):
            assert timeout() == "20s"
        assert timeout() == "50s"


def test_other_failures_are_not_called_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        raise OperationalError("the connection is closed")

    with pytest.raises(OperationalError):
        limits.limited(broken, site=admin.site, using=lambda: "default")(request("/"))


def test_strangers_cost_the_database_nothing(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert client.get(LIST).status_code == 302
