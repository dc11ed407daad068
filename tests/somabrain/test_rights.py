"""What each group of staff may do. The whole matrix, so that a new permission is decided about here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from circuits.console import groups

pytestmark = pytest.mark.django_db

LOOK, ACT, RULE = groups.ORDER
NOBODY = "superusers only"

# From which group on.
MATRIX = {
    "circuits.view_tenantcircuit": LOOK,
    "circuits.view_circuittransition": LOOK,
    "circuits.steer_tenantcircuit": ACT,
    "circuits.add_tenantcircuit": RULE,
    "circuits.change_tenantcircuit": RULE,
    "circuits.delete_tenantcircuit": NOBODY,
    "circuits.add_circuittransition": NOBODY,
    "circuits.change_circuittransition": NOBODY,
    "circuits.delete_circuittransition": NOBODY,
    "circuits.view_stafftenantscope": RULE,
    "circuits.add_stafftenantscope": RULE,
    "circuits.change_stafftenantscope": RULE,
    "circuits.delete_stafftenantscope": RULE,
    "outbox.view_outboxevent": LOOK,
    "outbox.view_outboxattempt": LOOK,
    "outbox.view_outboxlane": LOOK,
    "outbox.view_outboxrelay": LOOK,
    "outbox.view_tenantpolicy": LOOK,
    "outbox.view_tenantbacklog": LOOK,
    "outbox.view_backlogcount": LOOK,
    "outbox.view_outboxjob": LOOK,
    "outbox.view_minutecount": LOOK,
    "outbox.view_operatoraction": LOOK,
    "outbox.replay_outboxevent": ACT,
    "outbox.discard_outboxevent": ACT,
    "outbox.requeue_outboxevent": ACT,
    "outbox.pause_tenantpolicy": ACT,
    "outbox.reveal_outboxevent": RULE,
    "outbox.add_tenantpolicy": RULE,
    "outbox.change_tenantpolicy": RULE,
    "outbox.delete_tenantpolicy": RULE,
    "somabrain.view_webhookdelivery": LOOK,
    "somabrain.view_queuedwrite": LOOK,
}
# Django makes these for every model; the console gives nobody a page that would use them.
_UNUSED = ("add_", "change_", "delete_")


def granting() -> list[ModuleType]:
    """The migrations that give rights, in their order."""
    names = (
        "circuits.migrations.0006_groups",
        "outbox.migrations.0014_groups",
        "outbox.migrations.0015_reveal",
        "somabrain.migrations.0003_groups",
    )
    return [import_module(name) for name in names]


@pytest.fixture
def staff_groups() -> None:
    """As the migrations make them: a test that flushed the database took them away."""
    Group.objects.all().delete()
    for each in granting():
        each.forwards(apps, _Editor)


class _Editor:
    """What a migration looks at of its schema editor."""

    class connection:  # noqa: N801
        alias = "default"


def has(group: str) -> set[str]:
    found = Permission.objects.filter(group__name=group).select_related("content_type")
    return {f"{each.content_type.app_label}.{each.codename}" for each in found}


@pytest.mark.usefixtures("staff_groups")
@pytest.mark.parametrize("number", range(len(groups.ORDER)))
def test_each_group_has_the_rights_of_the_one_before_and_more(number: int) -> None:
    allowed = groups.ORDER[: number + 1]
    assert has(groups.ORDER[number]) == {right for right, since in MATRIX.items() if since in allowed}


def test_every_right_is_decided_about() -> None:
    known = Permission.objects.filter(content_type__app_label__in=["circuits", "outbox", "somabrain"])
    rights = {f"{each.content_type.app_label}.{each.codename}" for each in known.select_related("content_type")}
    undecided = {each for each in rights - MATRIX.keys() if not each.partition(".")[2].startswith(_UNUSED)}
    assert undecided == set()
    assert MATRIX.keys() <= rights


def backwards() -> None:
    for each in reversed(granting()):
        each.backwards(apps, _Editor)


@pytest.mark.usefixtures("staff_groups")
def test_groups_go_with_their_rights() -> None:
    backwards()
    assert not Group.objects.exists()


@pytest.mark.usefixtures("staff_groups")
def test_a_group_of_the_projects_own_keeps_what_it_has() -> None:
    theirs = Permission.objects.get(codename="add_user")
    operator, viewer = Group.objects.get(name=ACT), Group.objects.get(name=LOOK)
    operator.permissions.add(theirs)
    viewer.user_set.add(User.objects.create_user("ann"))
    for each in granting():
        each.forwards(apps, _Editor)
    assert has(ACT) >= {"auth.add_user", "outbox.replay_outboxevent"}
    backwards()
    assert has(ACT) == {"auth.add_user"}
    assert Group.objects.filter(name=LOOK, user__username="ann").exists()
    assert not Group.objects.filter(name=RULE).exists()


def test_a_right_that_does_not_exist_is_an_error() -> None:
    rights: Mapping[str, tuple[str, ...]] = {LOOK: ("view_nothing",)}
    with pytest.raises(LookupError, match="outbox has no permission view_nothing"):
        groups.grant(apps, app="outbox", rights=rights, using="default")
