"""Every address of the admin, as everybody: nobody sees or changes more than they may, and nothing breaks.

What belongs to an address is declared in `tests/support/walk_rules.py`: one that is not there fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db.models import F
from django.test import Client

from circuits.console.groups import ADMINISTRATOR, OPERATOR, VIEWER
from circuits.models import StaffTenantScope, TenantCircuit
from circuits.process import process
from tests.support.confirming import hidden
from tests.support.walk_rows import ABSENT, FOREIGN, FRESH, OWN, Rows, of_everyone, rows_of
from tests.support.walk_rules import NOBODY, RULES, Form, Rule, Write
from tests.support.walking import Answer, Place, Walker, places

pytestmark = pytest.mark.django_db

REFUSED = {403, 404}
ANONYMOUS, NO_RIGHTS, ALL_RIGHTS, SUPERUSER = "anonymous", "no rights", "all rights", "superuser"
ROLES = [(name, False) for name in (ANONYMOUS, NO_RIGHTS, VIEWER, OPERATOR, ADMINISTRATOR, SUPERUSER)]
LIMITED = [(name, True) for name in (VIEWER, OPERATOR, ADMINISTRATOR, ALL_RIGHTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    walker: Walker
    rights: frozenset[str] | None
    """None: of whoever has all."""
    is_limited: bool
    asks_all: bool
    """Whether they try every filter. Rights make no difference to these, only limits do."""

    def has(self, rights: tuple[str, ...]) -> bool:
        return rights != NOBODY and (self.rights is None or self.rights.issuperset(rights))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    own: Rows
    foreign: Rows
    absent: Rows


@pytest.fixture
def tenants(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Tenants:
    # A traceback for each page that is refused.
    caplog.set_level(logging.ERROR, logger="django")
    own, foreign = rows_of(OWN, fresh=FRESH), rows_of(FOREIGN, fresh=f"{FOREIGN}-new")
    of_everyone()
    # Circuits are steered in a session of their own, which sees nothing of this transaction.
    monkeypatch.setattr(process, "read", lambda key: SimpleNamespace(revision=1))
    monkeypatch.setattr(process, "command", _steered)
    return Tenants(own=own, foreign=foreign, absent=own.named_otherwise())


def _steered(key: tuple[str, str], event: Any) -> None:
    TenantCircuit.objects.filter(tenant_id=key[0], name=key[1]).update(revision=F("revision") + 1)


def somebody(client: Client, role: str, *, limited: bool) -> Somebody:
    if role == ANONYMOUS:
        return Somebody(walker=Walker(client), rights=frozenset(), is_limited=False, asks_all=False)
    user = User.objects.create_user("eve", is_staff=True, is_superuser=role == SUPERUSER)
    if role == ALL_RIGHTS:
        user.user_permissions.set(Permission.objects.exclude(content_type__app_label="auth"))
    elif role not in (NO_RIGHTS, SUPERUSER):
        user.groups.add(Group.objects.get(name=role))
    if limited:
        StaffTenantScope.objects.bulk_create(StaffTenantScope(user=user, tenant_id=each) for each in (OWN, FRESH))
    if role not in (NO_RIGHTS, SUPERUSER):
        _acted_before(user)
    rights = None if user.is_superuser else frozenset(user.get_all_permissions())
    client.force_login(user)
    asks_all = limited and role == ALL_RIGHTS
    return Somebody(walker=Walker(client), rights=rights, is_limited=limited, asks_all=asks_all)


def _acted_before(user: User) -> None:
    """On another tenant's circuit, while they were not limited."""
    circuit = TenantCircuit.objects.get(tenant_id=FOREIGN)
    LogEntry.objects.log_actions(user.pk, [circuit], CHANGE, "Forced open", single_object=True)


def test_every_address_has_a_rule() -> None:
    assert {place.rule for place in places()} == RULES.keys()


@pytest.mark.parametrize(("role", "limited"), [*ROLES, *LIMITED])
def test_pages_show_what_one_may_see(client: Client, tenants: Tenants, role: str, limited: bool) -> None:
    who = somebody(client, role, limited=limited)
    problems = []
    for place in places():
        for said in _looked_at(who, place, RULES[place.rule], tenants, is_anonymous=role == ANONYMOUS):
            problems.append(f"GET {place.rule}: {said}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("role", "limited"), [*ROLES, *LIMITED])
def test_nothing_is_changed_without_the_right_to(client: Client, tenants: Tenants, role: str, limited: bool) -> None:
    who = somebody(client, role, limited=limited)
    problems = []
    for place in places():
        rule = RULES[place.rule]
        for write in rule.writes or (Write(form=lambda rows: {}, effect=False),):
            for said in _written(who, place, rule, write, tenants, is_anonymous=role == ANONYMOUS):
                problems.append(f"POST {place.rule} {write.form(tenants.own)}: {said}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("role", [OPERATOR, ADMINISTRATOR, ALL_RIGHTS])
def test_everyone_does_not_exist_for_whoever_is_limited(client: Client, tenants: Tenants, role: str) -> None:
    walker = somebody(client, role, limited=True).walker
    for verb in ("pause", "resume"):
        page, form = f"/admin/outbox/tenantpolicy/decide/{verb}/", {"tenant": ["*", OWN], "reason": "a walk"}
        assert walker.ask(page, {"tenant": "*"}).status == 404
        answer = walker.send(page, {}, form)
        assert (answer.status, answer.changed) == (404, False)
    shared = TenantCircuit.objects.get(tenant_id="*")
    answer = walker.send(f"/admin/circuits/tenantcircuit/{shared.pk}/decide/reset/", {}, {"reason": "a walk"})
    assert (answer.status, answer.changed) == (404, False)


def test_every_post_needs_a_token(tenants: Tenants) -> None:
    client = Client(enforce_csrf_checks=True)
    walker = somebody(client, SUPERUSER, limited=False).walker
    for place in places():
        rule = RULES[place.rule]
        form = rule.writes[0].form(tenants.own) if rule.writes else {}
        answer = walker.send(place.path(tenants.own), rule.asked[0](tenants.own), form)
        assert (answer.status, answer.changed) == (403, False), place.rule
        assert "CSRF verification failed" in answer.text, place.rule


def _looked_at(who: Somebody, place: Place, rule: Rule, tenants: Tenants, *, is_anonymous: bool) -> Iterator[str]:
    for asked in rule.asked if who.asks_all else rule.asked[:1]:
        is_own_alone = not who.is_limited or _same(place, tenants, asked)
        if is_own_alone or asked is rule.asked[0]:
            answer = who.walker.ask(place.path(tenants.own), asked(tenants.own))
            yield from _sound(who, answer, is_own=True)
            if answer.changed:
                yield "looking changes something"
            if is_anonymous:
                yield from _sent_to_login(place, answer)
            elif answer.status not in _expected(who, rule, names_row=place.names_row, is_there=True):
                yield f"own: {answer.status}, {asked(tenants.own)}"
        if not is_own_alone:
            pair = [who.walker.ask(place.path(rows), asked(rows)) for rows in (tenants.foreign, tenants.absent)]
            yield from _alike(place, rule, *pair)
            if place.names_row and not rule.stock and pair[0].status not in _expected_of_foreign(who, rule):
                yield f"foreign: {pair[0].status}"
    if who.rights is None and place.names_row:
        answer = who.walker.ask(place.path(tenants.absent), rule.asked[0](tenants.absent))
        yield from _sound(who, answer)
        if answer.status not in _expected(who, rule, names_row=True, is_there="<str:tenant_id>" in place.route):
            yield f"absent: {answer.status}"


def _written(
    who: Somebody, place: Place, rule: Rule, write: Write, tenants: Tenants, *, is_anonymous: bool
) -> Iterator[str]:
    def send(rows: Rows) -> Answer:
        path, query, form = place.path(rows), rule.asked[0](rows), write.form(rows)
        if write.asks:
            asked = who.walker.send(path, query, form)
            if asked.changed:
                return asked
            form = {**form, **hidden(asked.text)}
        return who.walker.send(path, query, form, follow=who.is_limited)

    answer = send(tenants.own)
    yield from _sound(who, answer, is_own=True)
    if is_anonymous:
        yield from _sent_to_login(place, answer)
    elif answer.status not in REFUSED and not who.has(rule.see):
        yield f"own: {answer.status} without the right to see it"
    may = who.has((*rule.see, *write.needs)) and not (who.is_limited and rule.hidden) and not is_anonymous
    if answer.changed != (may and write.effect):
        yield f"own: {answer.status}, {'changed' if answer.changed else 'not changed'}"
    if who.is_limited and place.names_row and not rule.writes:
        foreign = send(tenants.foreign)
        yield from _sound(who, foreign, is_own=True)
        if foreign.changed or (not rule.stock and foreign.status not in REFUSED):
            yield f"foreign: {foreign.status}"
    elif who.is_limited and rule.writes and not _same(place, tenants, rule.asked[0], write.form):
        pair = [send(rows) for rows in (tenants.foreign, tenants.absent)]
        yield from _alike(place, rule, *pair)
        if any(each.changed for each in pair):
            yield "what belongs to another tenant is changed"
        if place.names_row and not rule.stock and pair[0].status not in REFUSED:
            yield f"foreign: {pair[0].status}"


def _same(place: Place, tenants: Tenants, *said: Form) -> bool:
    """Whether a request for the other tenant would be the very same."""
    own, foreign = ([place.path(rows), *(each(rows) for each in said)] for rows in (tenants.own, tenants.foreign))
    return own == foreign


def _expected(who: Somebody, rule: Rule, *, names_row: bool, is_there: bool) -> set[int]:
    if not who.has(rule.see):
        return REFUSED
    if who.is_limited and rule.hidden:
        return REFUSED if names_row else {*REFUSED, *rule.found}
    if names_row and not is_there:
        return {302} if rule.stock else {404}
    return set(rule.found)


def _expected_of_foreign(who: Somebody, rule: Rule) -> set[int]:
    return {404} if who.has(rule.see) and not rule.hidden else REFUSED


def _sound(who: Somebody, answer: Answer, *, is_own: bool = False) -> Iterator[str]:
    if answer.status >= 500:
        yield f"{answer.status} {answer.error}"
    if is_own and who.is_limited and FOREIGN in answer.text:
        yield "own: the other tenant is named"


def _sent_to_login(place: Place, answer: Answer) -> Iterator[str]:
    to = {"login": (200, ""), "logout": (302, "/admin/")}.get(place.rule, (302, "/admin/login/"))
    if answer.status != to[0] or answer.location.partition("?")[0] != to[1] or answer.changed:
        yield f"anonymous: {answer.status} {answer.location}"


def _alike(place: Place, rule: Rule, foreign: Answer, absent: Answer) -> Iterator[str]:
    """To whoever is limited another tenant's row is like one that is not there, up to what they said themselves."""
    for answer in (foreign, absent):
        if answer.status >= 500:
            yield f"{answer.status} {answer.error}"
    if foreign.status != absent.status and not rule.stock:
        yield f"foreign: {foreign.status}, absent: {absent.status}"
    if foreign.text.count(FOREIGN) != absent.text.count(ABSENT) or FOREIGN in absent.text:
        yield "foreign: the other tenant is named"
