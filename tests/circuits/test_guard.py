"""Calls under the guard of a circuit, on a real database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from circuits.errors import CircuitOpen, InvalidName
from circuits.events import Phase
from circuits.guard import Circuit
from circuits.models import CircuitTransition, TenantCircuit
from circuits.process import process
from tests.circuits.marks import on_database
from tests.support.waiting import wait_until

pytestmark = on_database


class Down(Exception):
    """What the dependency says when it is down."""


class NotFound(Exception):
    """What it says when the caller is wrong."""


def circuit(**options: Any) -> Circuit:
    return Circuit(tenant_id="acme", name="memory", **options)


def fail(guard: Circuit | None = None, error: BaseException | None = None) -> None:
    error = error or Down()
    with pytest.raises(type(error)), (guard or circuit()).call():
        raise error


def succeed(guard: Circuit | None = None) -> None:
    with (guard or circuit()).call():
        pass


def trip() -> None:
    for _ in range(5):
        fail()


def row() -> TenantCircuit:
    return TenantCircuit.objects.get(tenant_id="acme", name="memory")


def let_the_interval_pass() -> None:
    """As if the circuit had opened long ago."""
    TenantCircuit.objects.update(open_until="2020-01-01T00:00:00Z")
    process.close()


def test_a_circuit_that_works_writes_nothing() -> None:
    for _ in range(10):
        succeed()
    assert not TenantCircuit.objects.exists()


def test_failures_in_a_row_open_it_and_calls_are_refused() -> None:
    trip()
    with pytest.raises(CircuitOpen) as refused, circuit().call():
        raise AssertionError("the call was made")
    assert (refused.value.tenant_id, refused.value.name, refused.value.state) == ("acme", "memory", "open")
    assert 0 < refused.value.retry_after <= 30
    assert str(refused.value).startswith("Circuit 'memory' of tenant 'acme' is open. Try again in ")


def test_the_history_says_what_happened() -> None:
    trip()
    (transition,) = CircuitTransition.objects.all()
    told = (transition.from_state, transition.to_state, transition.why, transition.failures, transition.error_code)
    assert told == ("closed", "open", "failures", 5, "Down")


def test_another_tenant_is_not_concerned() -> None:
    trip()
    succeed(Circuit(tenant_id="globex", name="memory"))
    succeed(Circuit(tenant_id="acme", name="publish"))


def test_the_first_success_resets_the_count_by_one_write() -> None:
    fail()
    fail()
    assert row().failures == 2
    succeed()
    assert row().failures == 0
    revision = row().revision
    for _ in range(5):
        succeed()
    assert row().revision == revision


def test_after_the_interval_one_probe_closes_it() -> None:
    trip()
    let_the_interval_pass()
    succeed()
    assert row().state == Phase.CLOSED
    assert [each.to_state for each in CircuitTransition.objects.order_by("id")] == ["open", "half_open", "closed"]
    succeed()


def test_one_probe_at_a_time() -> None:
    trip()
    let_the_interval_pass()
    with circuit().call():
        with pytest.raises(CircuitOpen) as refused, circuit().call():
            raise AssertionError("two probes at once")
        assert refused.value.state == "half_open"
    succeed()


def test_a_probe_that_fails_opens_it_again() -> None:
    trip()
    let_the_interval_pass()
    fail()
    assert (row().state, row().trips) == (Phase.OPEN, 2)


@pytest.mark.parametrize("error", [NotFound(), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_what_says_nothing_gives_the_place_of_a_probe_back(error: BaseException) -> None:
    trip()
    let_the_interval_pass()
    fail(circuit(ignore=(NotFound,)), error)
    assert (row().state, row().probe_until) == (Phase.HALF_OPEN, None)
    succeed()
    assert row().state == Phase.CLOSED


def test_ignored_errors_count_neither_as_failures_nor_as_successes() -> None:
    fail()
    fail(circuit(ignore=(NotFound,)), NotFound())
    assert row().failures == 1


def test_a_predicate_says_what_is_a_failure() -> None:
    guard = circuit(is_failure=lambda error: "500" in str(error))
    fail(guard, Down("404"))
    assert not TenantCircuit.objects.exists()
    fail(guard, Down("500"))
    assert row().failures == 1


def test_a_predicate_that_fails_itself_hides_no_error(caplog: pytest.LogCaptureFixture) -> None:
    fail(circuit(is_failure=lambda error: 1 / 0 > 0))
    assert row().failures == 1
    assert "is_failure of circuit 'memory' failed itself" in caplog.text


def test_an_open_circuit_further_inside_is_no_failure() -> None:
    trip()
    with pytest.raises(CircuitOpen), Circuit(tenant_id="acme", name="outer").call():
        succeed()
    assert not TenantCircuit.objects.filter(name="outer").exists()


def test_a_call_may_say_itself_how_it_ended() -> None:
    with circuit().call() as call:
        call.fail("http_503")
    assert row().failures == 1
    with circuit().call() as call:
        call.ignore()
    assert row().failures == 1


def test_a_call_is_used_once() -> None:
    call = circuit().call()
    with call:
        pass
    with pytest.raises(RuntimeError, match="used once"), call:
        pass


def test_a_slow_success_is_a_failure_if_staff_say_so() -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="memory", slow_call=1e-9, failure_threshold=1)
    succeed()
    assert CircuitTransition.objects.get().error_code == "slow"


def test_in_mode_rate_a_process_judges_by_itself() -> None:
    TenantCircuit.objects.create(
        tenant_id="acme", name="memory", mode="rate", failure_rate=0.5, minimum_calls=10, rate_window=60
    )
    for _ in range(6):
        succeed()
    for _ in range(5):
        fail()
    revision = row().revision
    assert (row().state, revision) == (Phase.CLOSED, 0), "nothing is written before the rate is exceeded"
    fail()
    transition = CircuitTransition.objects.get()
    assert (transition.why, transition.calls, transition.failures) == ("rate", 12, 6)


def test_a_guarded_function() -> None:
    guard = circuit(fallback=lambda key: f"cached {key}")

    @guard.guard
    def recall(key: str) -> str:
        if key == "bad":
            raise Down
        return f"fresh {key}"

    assert recall("good") == "fresh good"
    for _ in range(5):
        with pytest.raises(Down):
            recall("bad")
    assert recall("good") == "cached good"
    assert recall.__name__ == "recall"


def test_a_fallback_does_not_hide_an_open_circuit_further_inside() -> None:
    trip()
    outer = Circuit(tenant_id="acme", name="outer", fallback=lambda: "instead")
    with pytest.raises(CircuitOpen):
        outer.guard(succeed)()


def test_without_a_fallback_the_refusal_is_the_answer() -> None:
    trip()
    with pytest.raises(CircuitOpen):
        circuit().guard(lambda: None)()


def test_generators_are_not_guarded_as_they_end_later() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"use circuit\.call\(\) inside"):
        circuit().guard(numbers)


def test_a_failure_counts_even_if_the_transaction_rolls_back() -> None:
    with pytest.raises(Down), transaction.atomic(), circuit().call():
        raise Down
    assert row().failures == 1


def test_a_row_that_the_caller_holds_delays_nobody_for_long(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CIRCUITS_LOCK_TIMEOUT = 0.05
    fail()
    with transaction.atomic():
        TenantCircuit.objects.select_for_update().get()
        fail()
        fail()
    assert row().failures == 1
    assert caplog.text.count("somebody holds the circuit's row") == 1


def test_the_state_is_told_without_changing_it() -> None:
    assert circuit().state() == "closed"
    trip()
    assert circuit().state() == "open"
    let_the_interval_pass()
    assert circuit().state() == "half_open"
    assert row().state == Phase.OPEN


@pytest.mark.parametrize(("field", "names"), [("tenant_id", ("a:b", "memory")), ("name", ("acme", "*"))])
def test_names_that_cannot_be(field: str, names: tuple[str, str]) -> None:
    with pytest.raises(InvalidName) as refused:
        Circuit(tenant_id=names[0], name=names[1])
    assert refused.value.field == field


def test_thresholds_are_followed_as_soon_as_they_are_changed() -> None:
    succeed()
    wait_until(lambda: process.views)
    TenantCircuit.objects.create(tenant_id="acme", name="memory", failure_threshold=1)
    wait_until(lambda: process.view(("acme", "memory")).policy.failure_threshold == 1)
    fail()
    assert circuit().state() == "open"


class TestAsync:
    def test_calls_are_guarded(self) -> None:
        async def run() -> None:
            for _ in range(5):
                with pytest.raises(Down):
                    async with circuit().call():
                        raise Down
            with pytest.raises(CircuitOpen):
                async with circuit().call():
                    raise AssertionError("the call was made")

        asyncio.run(run())

    def test_functions_are_guarded(self) -> None:
        async def instead() -> str:
            return "cached"

        @circuit(fallback=instead).guard
        async def recall() -> str:
            raise Down

        async def run() -> None:
            for _ in range(5):
                with pytest.raises(Down):
                    await recall()
            assert await recall() == "cached"

        asyncio.run(run())

    def test_a_cancelled_probe_gives_its_place_back(self) -> None:
        async def call(entered: asyncio.Event) -> None:
            async with circuit().call():
                entered.set()
                await asyncio.sleep(3_600)

        async def run() -> None:
            entered = asyncio.Event()
            task = asyncio.create_task(call(entered))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        trip()
        let_the_interval_pass()
        asyncio.run(run())
        wait_until(lambda: row().probe_until is None)
        assert row().state == Phase.HALF_OPEN

    def test_a_probe_that_comes_too_late_for_a_cancelled_caller_is_given_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked, go_on, acquire = threading.Event(), threading.Event(), process.acquire

        def slowly(key: Any) -> Any:
            asked.set()
            go_on.wait(60)
            return acquire(key)

        async def call() -> None:
            async with circuit().call():
                raise AssertionError("the call was made")

        async def run() -> None:
            task = asyncio.create_task(call())
            await asyncio.to_thread(asked.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            while (known := process.views[("acme", "memory")].state).phase is not Phase.HALF_OPEN or known.probe_until:
                await asyncio.sleep(0.01)

        trip()
        let_the_interval_pass()
        monkeypatch.setattr(process, "acquire", slowly)
        asyncio.run(run())
        assert (row().state, row().probe_until) == (Phase.HALF_OPEN, None)

    def test_a_call_says_how_it_ended_and_a_refusal_is_the_answer(self) -> None:
        async def run() -> None:
            async with circuit().call() as call:
                call.fail("http_500")
            with pytest.raises(CircuitOpen):
                await circuit().guard(refused)()

        async def refused() -> None:
            raise AssertionError("the call was made")

        TenantCircuit.objects.create(tenant_id="acme", name="memory", failure_threshold=1)
        asyncio.run(run())
