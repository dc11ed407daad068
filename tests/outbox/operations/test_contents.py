"""What is in an event: redacted for everybody, all of it only together with a record."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from outbox.models import OperatorAction
from outbox.operations import audit
from outbox.operations.audit import NoReason
from outbox.operations.contents import contents, reveal
from tests.outbox.operations.rows import ANN, event

pytestmark = pytest.mark.django_db

SECRET = {"password": "hunter2", "n": 1}


def test_everybody_sees_it_without_what_is_redacted(settings: Settings) -> None:
    settings.OUTBOX_REDACT = ["*.password", "orders:headers.source"]
    row = event(payload=SECRET, headers={"source": "shop"})
    found = contents(event_id=row.pk, topic="orders", using="default")
    assert found is not None
    assert found.payload == {"password": "[redacted: text of 7 characters]", "n": 1}
    assert found.headers == {"source": "[redacted: text of 4 characters]"}
    assert found.is_redacted
    assert found.payload_bytes == row.payload_bytes


def test_it_is_said_when_nothing_was_hidden() -> None:
    row = event(payload={"n": 1})
    found = contents(event_id=row.pk, topic="orders", using="default")
    assert found is not None
    assert not found.is_redacted


def test_a_payload_too_large_for_a_page_is_not_fetched() -> None:
    row = event(payload={"text": "x" * 5_000})
    found = contents(event_id=row.pk, topic="orders", using="default", most_bytes=5_000)
    assert found is not None
    assert (found.payload, found.is_left_out, found.payload_bytes) == (None, True, 5_012)
    whole = contents(event_id=row.pk, topic="orders", using="default", most_bytes=None)
    assert whole is not None
    assert whole.payload == {"text": "x" * 5_000}


def test_a_look_at_all_of_it_is_recorded() -> None:
    row = event(payload=SECRET)
    found = reveal(event_id=row.pk, by=ANN, reason=" ticket  17 ", using="default")
    assert found is not None
    assert found.payload == SECRET
    action = OperatorAction.objects.get()
    assert (action.verb, action.actor, action.reason, action.address) == ("reveal", "ann", "ticket 17", "192.0.2.1")
    assert action.filter == {"ids": [row.pk], "tenant": "acme", "topic": "orders"}
    assert action.tenants == ["acme"]
    assert "hunter2" not in str(OperatorAction.objects.values().get())


def test_what_cannot_be_recorded_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no record")

    monkeypatch.setattr(audit, "record", fail)
    with pytest.raises(RuntimeError):
        reveal(event_id=event(payload=SECRET).pk, by=ANN, reason="x", using="default")


def test_nothing_is_revealed_without_a_reason_and_nothing_recorded_without_an_event() -> None:
    with pytest.raises(NoReason):
        reveal(event_id=event().pk, by=ANN, reason=" ", using="default")
    assert reveal(event_id=1, by=ANN, reason="x", using="default") is None
    assert contents(event_id=1, topic="orders", using="default") is None
    assert not OperatorAction.objects.exists()
