"""The page of one event: what happened to it, what is in it, and who saw all of that."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from circuits.models import StaffTenantScope
from outbox.kafka import shell
from outbox.models import OperatorAction, OutboxAttempt, OutboxEvent
from outbox.operations import audit
from outbox.operations.listing import database_now
from tests.outbox.operations.rows import event, failed

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/outboxevent/"
SECRET = "hunter2"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def row() -> OutboxEvent:
    return failed(
        payload={"user": {"password": SECRET, "name": "<Ann>"}, "quote": "it's"},
        headers={"Authorization": f"Bearer {SECRET}", "source": "shop"},
    )


def user_with(*permissions: str, tenants: tuple[str, ...] = ()) -> User:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="outbox"))
    for tenant in tenants:
        StaffTenantScope.objects.create(user=user, tenant_id=tenant)
    return user


def page(staff: Client, row: OutboxEvent) -> str:
    response = staff.get(f"{LIST}{row.pk}/change/")
    assert response.status_code == 200
    return unescape(response.text)


def reveal(staff: Client, row: OutboxEvent, reason: str = "ticket 17") -> Any:
    return staff.post(f"{LIST}{row.pk}/reveal/", {"reason": reason})


def test_what_happened_stands_in_a_timeline(staff: Client) -> None:
    now = database_now()
    row = failed(created_at=now - timedelta(minutes=1))
    OutboxAttempt.objects.create(event=row, relay_id="0" * 32, error_class="topic", code=3, message="No <topic>")
    OutboxEvent.objects.filter(pk=row.pk).update(
        status="sent", sent_at=now + timedelta(minutes=1), kafka_partition=2, kafka_offset=9
    )
    text = page(staff, row)
    assert [text.index(each) for each in ("enqueued", "attempt failed", "Partition 2, offset 9")] == sorted(
        text.index(each) for each in ("enqueued", "attempt failed", "Partition 2, offset 9")
    )
    assert "topic 3: No <topic>" in text


def test_what_is_redacted_stands_nowhere_on_the_page(staff: Client, row: OutboxEvent) -> None:
    response = staff.get(f"{LIST}{row.pk}/change/")
    assert SECRET not in response.text
    text = unescape(response.text)
    assert text.count("[redacted: text of 7 characters]") == 3
    assert "[redacted: text of 14 characters]" in text
    assert "Some values are redacted" in text
    assert "With markers in place" in text
    assert "<Ann>" in text
    assert "<Ann>" not in response.text


def test_it_is_not_said_where_nothing_is_redacted(staff: Client) -> None:
    assert "redacted" not in page(staff, event())


def test_lines_for_a_shell_can_be_selected_and_copied(staff: Client, row: OutboxEvent) -> None:
    text = page(staff, row)
    assert "| kcat -P -b" in text
    assert "| curl --fail-with-body" in text
    assert re.search(r'<button type="button" class="button" data-copy="copy-kcat" hidden>', text)
    assert re.search(r'<pre class="line" id="copy-kcat" tabindex="0"', text)


def test_a_large_payload_is_cut(staff: Client) -> None:
    row = event(payload={"text": "x" * 900_000})
    response = staff.get(f"{LIST}{row.pk}/change/")
    assert len(response.content) < 100_000
    assert "The first 20,000 of 900,016 characters." in response.text
    assert "900,012 bytes" in response.text
    assert "| kcat" not in response.text


def test_a_payload_too_large_for_a_page_is_named_by_its_size(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = event(payload={"text": "x" * 2_100_000})
    text = page(staff, row)
    assert "2,100,012 bytes are too many for a page" in text
    assert f"manage.py outbox show {row.pk}" in text


def test_all_of_it_is_shown_once_to_who_says_why(staff: Client, row: OutboxEvent) -> None:
    assert f"{LIST}{row.pk}/reveal/" in page(staff, row)
    asked = staff.get(f"{LIST}{row.pk}/reveal/?reason=ticket")
    assert asked.status_code == 200
    assert SECRET not in asked.text
    assert "csrfmiddlewaretoken" in asked.text
    assert not OperatorAction.objects.exists()
    shown = reveal(staff, row)
    assert shown.status_code == 200
    text = unescape(shown.text)
    assert f'"password": "{SECRET}"' in text
    assert f"Bearer {SECRET}" in text
    assert "redacted" not in text
    assert "no-store" in shown["Cache-Control"]
    action = OperatorAction.objects.get()
    assert (action.verb, action.actor, action.address, action.reason) == ("reveal", "ann", "127.0.0.1", "ticket 17")
    assert SECRET not in str(OperatorAction.objects.values().get())
    assert SECRET not in page(staff, row)
    assert "revealed" in page(staff, row)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1_001])
def test_without_a_reason_nothing_is_shown(staff: Client, row: OutboxEvent, reason: str) -> None:
    response = reveal(staff, row, reason)
    assert response.status_code == 200
    assert "errorlist" in response.text
    assert SECRET not in response.text
    assert not OperatorAction.objects.exists()


def test_what_cannot_be_recorded_is_not_shown(staff: Client, row: OutboxEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no record")

    monkeypatch.setattr(audit, "record", fail)
    staff.raise_request_exception = False
    response = reveal(staff, row)
    assert response.status_code == 500
    assert SECRET not in response.text


@pytest.mark.parametrize("broken", ["message", "kcat"])
def test_a_report_of_an_error_has_nothing_of_it(
    staff: Client, row: OutboxEvent, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(shell, broken, fail)
    for look in (page, reveal):
        with pytest.raises(RuntimeError, match="broken") as raised:
            look(staff, row)
        error = raised.value
        reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__)
        frames = [each for each in reporter.get_traceback_frames() if each["filename"] != __file__]
        assert {"_lines", "_shown"} <= {frame["function"] for frame in frames}
        assert SECRET not in str([frame["vars"] for frame in frames])


def test_the_right_to_view_is_not_the_right_to_reveal(client: Client, row: OutboxEvent) -> None:
    client.force_login(user_with("view_outboxevent", "replay_outboxevent"))
    assert "/reveal/" not in page(client, row)
    assert client.get(f"{LIST}{row.pk}/reveal/").status_code == 403
    assert reveal(client, row).status_code == 403
    assert not OperatorAction.objects.exists()


def test_the_right_to_reveal_is_nothing_without_that_to_view(client: Client, row: OutboxEvent) -> None:
    client.force_login(user_with("reveal_outboxevent"))
    assert reveal(client, row).status_code == 403


def test_both_rights_are_enough(client: Client, row: OutboxEvent) -> None:
    client.force_login(user_with("view_outboxevent", "reveal_outboxevent", tenants=("acme",)))
    assert SECRET in reveal(client, row).text


def test_events_of_other_tenants_do_not_exist(client: Client, row: OutboxEvent) -> None:
    client.force_login(user_with("view_outboxevent", "reveal_outboxevent", tenants=("zeta",)))
    assert client.get(f"{LIST}{row.pk}/reveal/").status_code == 404
    assert reveal(client, row).status_code == 404
    assert not OperatorAction.objects.exists()


def test_who_may_not_see_actions_is_told_none(client: Client, row: OutboxEvent) -> None:
    client.force_login(user_with("view_outboxevent", "reveal_outboxevent"))
    reveal(client, row, "because of Ann")
    assert "because of Ann" not in page(client, row)


def test_strangers_and_forged_forms_are_refused(client: Client, row: OutboxEvent) -> None:
    assert "/login/" in reveal(client, row).url
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("ann"))
    assert reveal(strict, row).status_code == 403
    assert not OperatorAction.objects.exists()


def test_an_event_that_is_not_there_is_not_found(staff: Client) -> None:
    assert staff.post(f"{LIST}17/reveal/", {"reason": "x"}).status_code == 404


def test_headers_that_no_relay_can_send_are_said_to_be_so(staff: Client) -> None:
    assert "no relay can send them" in page(staff, event(headers=["x"]))


def test_pages_have_no_inline_script_or_style(staff: Client, row: OutboxEvent) -> None:
    for text in (page(staff, row), staff.get(f"{LIST}{row.pk}/reveal/").text, reveal(staff, row).text):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bonclick=", text)
