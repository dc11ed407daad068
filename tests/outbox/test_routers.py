"""Where the ORM looks for the tables of the apps, when they are not in the default database."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from pytest_django import Settings

from circuits.models import TenantCircuit
from circuits.routers import CircuitsRouter
from outbox.models import OutboxEvent
from outbox.routers import OutboxRouter


@pytest.fixture(
    params=[(OutboxRouter, OutboxEvent, "OUTBOX_DATABASE"), (CircuitsRouter, TenantCircuit, "CIRCUITS_DATABASE")],
    ids=["outbox", "circuits"],
)
def routed(request: pytest.FixtureRequest, settings: Settings) -> tuple[Any, type[Model]]:
    """A router, and a model that it sends to the alias "shop"."""
    router, model, setting = request.param
    setattr(settings, setting, "shop")
    return router(), model


def test_rows_are_read_and_written_where_the_setting_says(routed: tuple[Any, type[Model]]) -> None:
    router, model = routed
    assert (router.db_for_read(model), router.db_for_write(model, instance=model())) == ("shop", "shop")
    assert router.allow_migrate("shop", model._meta.app_label, model_name=model._meta.model_name) is True
    assert router.allow_migrate("default", model._meta.app_label) is False


def test_a_row_of_another_database_stays_with_it(routed: tuple[Any, type[Model]]) -> None:
    router, model = routed
    row = model.from_db("site", [], [])
    assert router.db_for_write(model, instance=row) is None


def test_other_apps_are_left_alone(routed: tuple[Any, type[Model]]) -> None:
    router, _ = routed
    assert (router.db_for_read(User), router.db_for_write(User), router.allow_migrate("default", "auth")) == (None,) * 3
