from __future__ import annotations

import threading

import pytest

from circuits.names import OTHER_TENANTS
from outbox.minutes import Counts
from outbox.relay import ledger as module
from outbox.relay.ledger import MINUTE_US, MOST_MINUTES, SEAT_MINUTES, Ledger
from outbox.relay.settle import Acknowledged, Failed, Settle
from outbox.relay.spans import Span

MINUTE = 1_000


def settle(
    *acknowledged: tuple[str, int], minute: int = MINUTE, spans: tuple[Span, ...] = (), failed: tuple[Failed, ...] = ()
) -> Settle:
    lanes = [Acknowledged(tenant, 1, list(range(n)), [], [], list(spans)) for tenant, n in acknowledged]
    return Settle(acknowledged=lanes, failed=list(failed), at=minute * MINUTE_US)


def failure(tenant: str, *, delay: float | None) -> Failed:
    return Failed(tenant, 1, delay, 1, "broker", "gone")


def sent(ledger: Ledger) -> dict[int, dict[str, int]]:
    """By minute and tenant."""
    return {minute: {name: each.sent for name, each in rows.items()} for minute, rows in ledger.take().items()}


def test_settles_of_one_minute_add_up_by_tenant() -> None:
    ledger = Ledger()
    ledger.add(settle(("acme", 3), ("other", 1)))
    ledger.add(settle(("acme", 2)))
    ledger.add(settle(("acme", 7), minute=MINUTE + 1))
    assert sent(ledger) == {MINUTE: {"acme": 5, "other": 1}, MINUTE + 1: {"acme": 7}}


def test_what_was_taken_is_gone() -> None:
    ledger = Ledger()
    ledger.add(settle(("acme", 3)))
    ledger.take()
    assert ledger.take() == {}


def test_a_settle_that_only_gave_lanes_back_leaves_no_row() -> None:
    ledger = Ledger()
    ledger.add(settle())
    assert ledger.take() == {}


def test_dead_letters_are_failed_attempts_as_well() -> None:
    ledger = Ledger()
    ledger.add(settle(failed=(failure("acme", delay=1.0), failure("acme", delay=None))))
    row = ledger.take()[MINUTE]["acme"]
    assert (row.failed_attempts, row.failed, row.sent) == (2, 1, 0)


def test_latencies_are_counted_from_the_creation_of_each_chunk() -> None:
    at = MINUTE * MINUTE_US
    ledger = Ledger()
    ledger.add(settle(("acme", 3), spans=((at - 900, at - 500, 2), (at - 7_000, at - 7_000, 1))))
    assert ledger.take()[MINUTE]["acme"].latency[:4] == [2, 0, 0, 1]


def test_what_could_not_be_written_is_added_to_what_came_meanwhile() -> None:
    ledger = Ledger()
    ledger.add(settle(("acme", 3)))
    taken = ledger.take()
    ledger.add(settle(("acme", 2), ("other", 1)))
    ledger.give_back(taken)
    assert sent(ledger) == {MINUTE: {"acme": 5, "other": 1}}


def test_only_some_minutes_are_kept_the_newest() -> None:
    ledger = Ledger()
    ledger.give_back({minute: {"acme": Counts(sent=1)} for minute in range(MOST_MINUTES + 5)})
    assert list(sent(ledger)) == list(range(5, MOST_MINUTES + 5))


def test_tenants_beyond_the_most_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 2)
    ledger = Ledger()
    ledger.add(settle(("a", 1), ("b", 1), ("c", 1), ("d", 1)))
    ledger.add(settle(("a", 1), ("d", 1)))
    assert sent(ledger) == {MINUTE: {"a": 2, "b": 1, OTHER_TENANTS: 3}}


def test_a_tenant_keeps_its_row_in_the_next_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 1)
    ledger = Ledger()
    ledger.add(settle(("a", 1)))
    ledger.add(settle(("b", 1), ("a", 1), minute=MINUTE + 1))
    assert sent(ledger)[MINUTE + 1] == {"a": 1, OTHER_TENANTS: 1}


def test_a_tenant_that_is_quiet_for_long_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 1)
    ledger = Ledger()
    ledger.add(settle(("a", 1)))
    later = MINUTE + SEAT_MINUTES + 1
    ledger.add(settle(("b", 1), minute=later))
    assert sent(ledger)[later] == {"b": 1}


def test_nothing_is_lost_between_threads() -> None:
    ledger, written, done = Ledger(), [], threading.Event()

    def write() -> None:
        while not done.is_set():
            written.append(sent(ledger))

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(2_000):
        ledger.add(settle(("acme", 1)))
    done.set()
    writer.join()
    written.append(sent(ledger))
    assert sum(n for rows in written for tenants in rows.values() for n in tenants.values()) == 2_000


def test_thousands_without_a_row_do_not_look_for_one_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 1)
    ledger, cleared = Ledger(), list[int]()
    clear = Ledger._clear_seats

    def counting(self: Ledger, minute: int) -> None:
        cleared.append(minute)
        clear(self, minute)

    monkeypatch.setattr(Ledger, "_clear_seats", counting)
    for minute in (MINUTE, MINUTE + 1):
        ledger.add(settle(*[(f"t{n}", 1) for n in range(50)], minute=minute))
    assert cleared == [MINUTE, MINUTE + 1]


def test_minutes_that_nobody_takes_do_not_pile_up() -> None:
    ledger = Ledger()
    for minute in range(MOST_MINUTES + 5):
        ledger.add(settle(("acme", 1), minute=minute))
    assert list(sent(ledger)) == list(range(5, MOST_MINUTES + 5))
