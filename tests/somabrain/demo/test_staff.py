from __future__ import annotations

from contextlib import suppress

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from somabrain.demo import staff

pytestmark = pytest.mark.django_db


def test_the_password_opens_the_admin(client: Client) -> None:
    password = staff.renew()
    assert client.login(username=staff.USERNAME, password=password)
    assert client.get("/admin/").status_code == 200


def test_every_run_has_a_password_of_its_own(client: Client) -> None:
    first, second = staff.renew(), staff.renew()
    assert first != second
    assert not client.login(username=staff.USERNAME, password=first)


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, RuntimeError])
def test_nobody_logs_in_any_more_once_the_demo_has_ended(client: Client, end: type[BaseException] | None) -> None:
    with suppress(KeyboardInterrupt, RuntimeError), staff.on_duty() as password:
        assert client.login(username=staff.USERNAME, password=password)
        if end is not None:
            raise end
    account = User.objects.get(username=staff.USERNAME)
    assert not account.is_active
    assert not account.has_usable_password()
    assert client.get("/admin/").status_code == 302, "who was logged in is not any more"
    assert not client.login(username=staff.USERNAME, password=password)


def test_a_later_demo_activates_the_account_again(client: Client) -> None:
    with staff.on_duty():
        pass
    with staff.on_duty() as password:
        assert client.login(username=staff.USERNAME, password=password)


def test_a_demo_that_ends_leaves_the_account_to_another_one_that_has_renewed_it(client: Client) -> None:
    with staff.on_duty():
        password = staff.renew()
    assert client.login(username=staff.USERNAME, password=password)


def test_an_account_that_is_gone_is_not_missed() -> None:
    with staff.on_duty():
        User.objects.all().delete()
    assert not User.objects.exists()


def test_an_account_that_could_not_be_deactivated_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("connection refused\n\tIs the server running?")

    with pytest.raises(staff.StillActive, match="'demo' is still active"), staff.on_duty():
        monkeypatch.setattr(User, "check_password", fail)


def test_an_account_of_somebody_else_is_left_alone(client: Client) -> None:
    User.objects.create_user(staff.USERNAME, email="somebody@example.org", password="theirs")
    with pytest.raises(staff.AccountTaken, match="rename"):
        staff.renew()
    assert client.login(username=staff.USERNAME, password="theirs")
