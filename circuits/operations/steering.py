"""Staff take a circuit into their own hands, and give it back."""

from __future__ import annotations

from datetime import datetime

from circuits.errors import InvalidExpiry, NoSuchCircuit, ReasonMissing
from circuits.events import Automatic, Force, Origin, Override, Reset
from circuits.names import Key, checked_key
from circuits.process import process
from circuits.store import Reading

_NAME_LENGTH = 150
HERE = Origin()
"""Not said: the application's own code."""


def force_open(
    *, tenant_id: str, name: str, by: str, reason: str, until: datetime | None = None, origin: Origin = HERE
) -> Reading:
    """Refuse all calls, whatever happens, until that time or until somebody decides otherwise.

    Takes effect in every process within a tenth of a second. Raises `ReasonMissing`, `InvalidExpiry`, `InvalidName`,
    and `StoreUnavailable` if the database could not be told, as all of these functions do.
    """
    return _force(Override.FORCED_OPEN, checked_key(tenant_id, name), by=by, reason=reason, until=until, origin=origin)


def force_closed(
    *, tenant_id: str, name: str, by: str, reason: str, until: datetime | None = None, origin: Origin = HERE
) -> Reading:
    """Let all calls through, however many fail, until that time or until somebody decides otherwise."""
    return _force(
        Override.FORCED_CLOSED, checked_key(tenant_id, name), by=by, reason=reason, until=until, origin=origin
    )


def automatic(*, tenant_id: str, name: str, by: str, reason: str, origin: Origin = HERE) -> Reading:
    """Leave the circuit to itself again, as it was before it was forced. Raises `NoSuchCircuit`."""
    key = _known(checked_key(tenant_id, name))
    return process.command(key, Automatic(by=_name(by), reason=checked_reason(reason), origin=origin))


def reset(*, tenant_id: str, name: str, by: str, reason: str, origin: Origin = HERE) -> Reading:
    """Close the circuit and forget all failures; it is automatic afterwards. Raises `NoSuchCircuit`."""
    key = _known(checked_key(tenant_id, name))
    return process.command(key, Reset(by=_name(by), reason=checked_reason(reason), origin=origin))


def checked_reason(reason: str) -> str:
    """Raises `ReasonMissing`."""
    text = reason.replace("\x00", "").strip()
    if not text:
        raise ReasonMissing
    return text


def _force(override: Override, key: Key, *, by: str, reason: str, until: datetime | None, origin: Origin) -> Reading:
    force = Force(override=override, by=_name(by), reason=checked_reason(reason), until=until, origin=origin)
    if until is not None and until <= process.read(key).now:
        raise InvalidExpiry(until)
    return process.command(key, force)


def _known(key: Key) -> Key:
    if process.read(key).revision is None:
        raise NoSuchCircuit(*key)
    return key


def _name(by: str) -> str:
    return by.replace("\x00", "")[:_NAME_LENGTH]
