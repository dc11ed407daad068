from __future__ import annotations

import pytest
from django.contrib.auth.models import User
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


def test_an_account_of_somebody_else_is_left_alone(client: Client) -> None:
    User.objects.create_user(staff.USERNAME, email="somebody@example.org", password="theirs")
    with pytest.raises(staff.AccountTaken, match="rename"):
        staff.renew()
    assert client.login(username=staff.USERNAME, password="theirs")
