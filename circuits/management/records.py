"""Circuits as programs read them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from circuits.models import CircuitTransition
from circuits.operations.listing import CircuitRow


def as_record(circuit: CircuitRow) -> dict[str, Any]:
    """A circuit for programs: the thresholds that hold, and which of them are its own."""
    record = asdict(circuit)
    own = record.pop("thresholds")
    thresholds = record.pop("policy")
    return {**record, "thresholds": thresholds, "own_thresholds": {name: v for name, v in own.items() if v is not None}}


def change_as_record(change: CircuitTransition) -> dict[str, Any]:
    return {
        "at": change.at,
        "from_state": change.from_state,
        "to_state": change.to_state,
        "why": change.why,
        "by": change.by,
        "reason": change.reason,
        "until": change.until,
        "failures": change.failures,
        "calls": change.calls,
        "error_code": change.error_code,
        "epoch": change.epoch,
    }
