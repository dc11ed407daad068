from __future__ import annotations

import pytest

from outbox.relay.circuit import FEW, LaneCircuit, Probe


def test_a_closed_circuit_lets_everything_through() -> None:
    circuit = LaneCircuit()
    assert circuit.closed
    assert circuit.may_send
    assert circuit.most() == float("inf")


def test_a_half_open_one_sends_one_event_after_leave_was_given() -> None:
    circuit = LaneCircuit(epoch=3, by_probe=True)
    before = circuit.may_send
    circuit.granted(epoch=4, probe=True)
    granted = circuit.may_send
    assert circuit.most() == 1
    circuit.probe = Probe.SENT
    assert (before, granted, circuit.may_send) == (False, True, False)


def test_leave_that_is_no_probe_makes_it_a_lane_like_all_others() -> None:
    circuit = LaneCircuit(epoch=3, by_probe=True)
    circuit.granted(epoch=5, probe=False)
    assert circuit.closed
    assert circuit.epoch == 5


def test_leave_that_nobody_could_be_asked_for_is_given() -> None:
    """Without a database of circuits nothing stops, and what is told later belongs to the epoch of the claim."""
    circuit = LaneCircuit(epoch=3, by_probe=True)
    circuit.granted(epoch=0, probe=False)
    assert circuit.may_send
    assert circuit.epoch == 3


def test_a_refusal_bars_the_lane() -> None:
    circuit = LaneCircuit(epoch=3, by_probe=True)
    circuit.refused()
    assert circuit.barred
    assert not circuit.may_send


@pytest.mark.parametrize("failed", [True, False])
def test_after_a_failed_probe_nothing_goes_and_after_another_one_leave_is_asked_for(failed: bool) -> None:
    circuit = LaneCircuit(epoch=4, by_probe=True)
    circuit.probe = Probe.JUDGED
    circuit.judged(failed=failed)
    assert (circuit.barred, circuit.probe) == (failed, Probe.NONE if failed else Probe.WANTED)


def test_a_tenant_of_which_only_failures_came_back_sends_few() -> None:
    circuit = LaneCircuit()
    circuit.doubtful = True
    assert circuit.most() == FEW


# What a renewal brings


def renewed(circuit: LaneCircuit, *, epoch: int, by_probe: bool = False, may_call: bool = True) -> LaneCircuit:
    circuit.renewed(epoch=epoch, failing=False, by_probe=by_probe, may_call=may_call)
    return circuit


def test_an_open_circuit_bars_the_lane() -> None:
    assert renewed(LaneCircuit(epoch=3), epoch=4, by_probe=True, may_call=False).barred


def test_one_whose_interval_is_over_already_wants_a_probe() -> None:
    assert renewed(LaneCircuit(epoch=3), epoch=4, by_probe=True).probe is Probe.WANTED


@pytest.mark.parametrize("probe", [Probe.WANTED, Probe.GRANTED, Probe.SENT, Probe.JUDGED])
def test_ones_own_probe_goes_on(probe: Probe) -> None:
    circuit = LaneCircuit(epoch=4, by_probe=True)
    circuit.probe = probe
    assert not renewed(circuit, epoch=4, by_probe=True, may_call=False).barred
    assert circuit.probe is probe


def test_what_was_read_before_the_answer_came_is_old() -> None:
    circuit = LaneCircuit(epoch=4, by_probe=True)
    circuit.granted(epoch=5, probe=True)
    assert not renewed(circuit, epoch=4, by_probe=True, may_call=False).barred
    circuit = LaneCircuit(epoch=4, by_probe=True)
    circuit.probe = Probe.ASKED
    assert not renewed(circuit, epoch=5, by_probe=True, may_call=False).barred


def test_a_circuit_that_staff_close_ends_the_probing() -> None:
    circuit = LaneCircuit(epoch=4, by_probe=True)
    circuit.granted(epoch=5, probe=True)
    assert renewed(circuit, epoch=6).closed


def test_failures_on_record_are_taken_over() -> None:
    circuit = LaneCircuit(epoch=4)
    circuit.renewed(epoch=4, failing=True, by_probe=False, may_call=True)
    assert circuit.failing
