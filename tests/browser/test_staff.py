"""Staff at work: what they do in a browser, relays and circuits do as well."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from circuits.models import StaffTenantScope, TenantCircuit
from outbox.api import enqueue
from outbox.models import EventStatus, OperatorAction, OutboxEvent, OutboxLane
from tests.browser.conftest import OpenPage
from tests.browser.service import Service
from tests.support.waiting import wait_until

OVERVIEW = "/admin/outbox/overview/"
EVENTS = "/admin/outbox/outboxevent/"


@pytest.fixture(scope="module")
def working(service: Service) -> Iterator[Service]:
    """The service with workers, which publish and run jobs."""
    workers = service.start_workers()
    workers.wait_for_output("publishes")
    yield service
    # They end before the tables are emptied.
    workers.stop(timeout=30)


@pytest.fixture(scope="module")
def ann(db: None) -> User:
    return User.objects.create_superuser("ann", password="a long word of hers")


def member(name: str, group: str, *tenants: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    for tenant in tenants:
        StaffTenantScope.objects.create(user=user, tenant_id=tenant)
    return user


def publish(tenant: str, *, topic: str = "orders", **event: object) -> int:
    with transaction.atomic():
        values = {"payload": {"n": 1}, **event}
        return enqueue(topic=topic, tenant_id=tenant, **values).event_id  # type: ignore[arg-type]


def sent(tenant: str) -> int:
    return OutboxEvent.objects.create(tenant_id=tenant, topic="orders", dedupe_key="1", payload={}, status="sent").pk


def status(event_id: int) -> str:
    return OutboxEvent.objects.values_list("status", flat=True).get(pk=event_id)


def wait_until_sent(event_id: int) -> None:
    wait_until(lambda: status(event_id) == EventStatus.SENT)


def is_held(tenant: str) -> bool:
    """Whether a relay has the tenant's lane."""
    return OutboxLane.objects.filter(tenant_id=tenant, owner__isnull=False).exists()


def tenant_page(tenant: str) -> str:
    return reverse("admin:outbox_tenant_change", args=[tenant])


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tile", has=page.locator("dt", has_text=re.compile(f"^{name}$"))).locator("dd").first


def confirm(page: Page, button: str, *, reason: str) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=button, exact=True).click()


def tab_to(page: Page, target: Locator) -> None:
    expect(target).to_be_visible()
    for _ in range(200):
        page.keyboard.press("Tab")
        if target.evaluate("(each) => each === document.activeElement"):
            return
    raise AssertionError(f"the keyboard does not come to {target}")


def test_whoever_signs_in_finds_the_overview(open_page: OpenPage, ann: User) -> None:
    page = open_page(None)
    page.goto(OVERVIEW)
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password").fill("a long word of hers")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(f"{OVERVIEW}$"))
    expect(tile(page, "Pending")).to_be_visible()


def test_the_overview_goes_live_while_events_flow(open_page: OpenPage, ann: User, working: Service) -> None:
    page = open_page(ann)
    page.goto(OVERVIEW)
    page.get_by_label("every").select_option("5 s")
    page.evaluate("window.untouched = true")
    wait_until_sent(publish("flowing"))
    row = page.get_by_role("link", name="flowing", exact=True)
    expect(row).to_have_count(0)
    working.kafka.fail_topic("flowing.orders", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    publish("flowing", topic="flowing.orders")
    expect(row).to_be_visible()
    expect(tile(page, "Relays alive")).to_have_text("1/1")
    assert page.evaluate("window.untouched")


def test_a_tenant_is_paused_and_resumed(open_page: OpenPage, ann: User, working: Service) -> None:
    wait_until_sent(publish("stopped"))
    page = open_page(ann)
    page.goto(tenant_page("stopped"))
    page.get_by_role("link", name="Pause ...").click()
    confirm(page, "Pause", reason="their consumer is down")
    expect(page.get_by_text("Paused by ann")).to_be_visible()
    # Until a relay lets go of a lane, the pause is not its business.
    wait_until(lambda: not is_held("stopped"))
    held = publish("stopped")
    wait_until_sent(publish("somebody-else"))
    assert status(held) == EventStatus.PENDING
    page.get_by_role("link", name="Resume ...").click()
    confirm(page, "Resume", reason="it is up again")
    expect(page.get_by_text("Paused by ann")).to_have_count(0)
    wait_until_sent(held)


def test_a_tenant_is_paused_by_keyboard_alone(open_page: OpenPage, ann: User, working: Service) -> None:
    wait_until_sent(publish("typed"))
    page = open_page(ann)
    page.goto(tenant_page("typed"))
    tab_to(page, page.get_by_role("link", name="Pause ..."))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Reason"))
    page.keyboard.type("by keyboard")
    tab_to(page, page.get_by_role("button", name="Pause", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Paused by ann")).to_be_visible()
    expect(page.get_by_text("by keyboard").first).to_be_visible()


def test_a_threshold_is_edited_and_acts(open_page: OpenPage, ann: User, working: Service) -> None:
    working.kafka.fail_topic("refused.orders", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    circuit = TenantCircuit.objects.create(tenant_id="refused", name="publish", failure_threshold=1_000)
    page = open_page(ann)
    page.goto(reverse("admin:circuits_tenantcircuit_change", args=[circuit.pk]))
    page.get_by_label("Failure threshold").fill("1")
    page.get_by_label("Reason").fill("one refusal is enough")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("failure threshold 1,000 → 1")).to_be_visible()
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    publish("refused", topic="refused.orders")
    wait_until(lambda: TenantCircuit.objects.get(pk=circuit.pk).state != "closed")
    page.goto(tenant_page("refused"))
    expect(page.get_by_text("one refusal is enough").first).to_be_visible()
    expect(page.get_by_text("TOPIC_AUTHORIZATION_FAILED").first).to_be_visible()


def test_a_circuit_is_forced_and_left_to_itself_again(open_page: OpenPage, ann: User, working: Service) -> None:
    circuit = TenantCircuit.objects.create(tenant_id="forced", name="publish")
    page = open_page(ann)
    page.goto(reverse("admin:circuits_tenantcircuit_change", args=[circuit.pk]))
    page.get_by_role("link", name="Force open").click()
    confirm(page, "Force open", reason="they asked us to")
    expect(page.get_by_text("they asked us to").first).to_be_visible()
    held = publish("forced")
    wait_until_sent(publish("not-forced"))
    assert status(held) == EventStatus.PENDING
    page.get_by_role("link", name="Back to automatic").click()
    confirm(page, "Back to automatic", reason="they are ready")
    wait_until_sent(held)


def test_an_event_is_found_by_its_dedupe_key_and_revealed(open_page: OpenPage, ann: User, working: Service) -> None:
    event_id = publish("found", dedupe_key="order-17", payload={"order": 17, "password": "swordfish"})
    wait_until_sent(event_id)
    page = open_page(ann)
    page.goto(EVENTS)
    page.get_by_label("Tenant").fill("found")
    page.get_by_label("Dedupe key").fill("order-17")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=str(event_id), exact=True).click()
    expect(page.get_by_text("[redacted: text of 9 characters]").first).to_be_visible()
    expect(page.get_by_text("swordfish")).to_have_count(0)
    page.get_by_role("link", name="Reveal ...").click()
    page.get_by_label("Reason").fill("the customer asks")
    page.get_by_label("Reason").press("Enter")
    expect(page.get_by_text("swordfish").first).to_be_visible()
    assert OperatorAction.objects.filter(actor="ann", reason="the customer asks").count() == 1


def test_a_group_is_replayed_by_a_worker(open_page: OpenPage, ann: User, working: Service) -> None:
    dead = [publish("replayed") for _ in range(5)]
    for event_id in dead:
        wait_until_sent(event_id)
    OutboxEvent.objects.filter(pk__in=dead).update(status=EventStatus.FAILED, error_class="expired", sent_at=None)
    page = open_page(ann)
    page.goto(reverse("admin:outbox_dead_letters"))
    page.get_by_role("link", name="Replay this group ... expired").click()
    expect(page.get_by_text("5 events of 1 tenant")).to_be_visible()
    confirm(page, "Start the replay", reason="it is there now")
    expect(page.get_by_text("All of it is done.")).to_be_visible()
    for event_id in dead:
        wait_until_sent(event_id)


def test_a_viewer_cannot_change_anything(open_page: OpenPage, ann: User) -> None:
    event_id = sent("seen")
    page = open_page(member("vera", "Viewer"))
    page.goto(tenant_page("seen"))
    expect(tile(page, "Pending")).to_be_visible()
    expect(page.get_by_role("link", name="Pause ...")).to_have_count(0)
    page.goto(f"{EVENTS}{event_id}/change/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^(Replay|Discard|Reveal)"))).to_have_count(0)
    for refused in (
        f"{reverse('admin:outbox_policy_decide', args=['pause'])}?tenant=seen",
        f"{reverse('admin:outbox_event_decide', args=['replay'])}?ids={event_id}",
        reverse("admin:outbox_outboxevent_reveal", args=[event_id]),
    ):
        answer = page.goto(refused)
        assert answer is not None
        assert answer.status == 403, refused


def test_whoever_is_limited_to_a_tenant_finds_no_other(open_page: OpenPage, ann: User) -> None:
    for tenant in ("theirs", "others"):
        sent(tenant)
    page = open_page(member("otto", "Operator", "theirs"))
    page.goto(EVENTS)
    expect(page.get_by_role("cell", name="theirs").first).to_be_visible()
    expect(page.get_by_text("others")).to_have_count(0)
    answer = page.goto(tenant_page("others"))
    assert answer is not None
    assert answer.status == 404
    page.goto(f"{EVENTS}{OutboxEvent.objects.get(tenant_id='others').pk}/change/")
    expect(page.get_by_text("others")).to_have_count(0)
