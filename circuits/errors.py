"""What can go wrong, one class for each way out."""

from __future__ import annotations

from typing import Any

from circuits.typed_settings import InvalidValue


class CircuitError(Exception):
    """Something is wrong with a circuit."""


class InvalidSetting(CircuitError, InvalidValue):
    """A setting cannot be used."""


class CircuitOpen(CircuitError):
    """The call was not made: the dependency has failed lately, or staff hold the circuit open."""

    def __init__(self, tenant_id: str, name: str, state: str, retry_after: float) -> None:
        super().__init__(tenant_id, name, state, retry_after)
        self.tenant_id = tenant_id
        self.name = name
        self.state = state
        """`open`, `half_open` while a probe is under way, or `forced_open`."""
        self.retry_after = retry_after
        """Seconds after which another call may be let through."""

    def __str__(self) -> str:
        state = self.state.replace("_", " ")
        return f"Circuit {self.name!r} of tenant {self.tenant_id!r} is {state}. Try again in {self.retry_after:.3g} s."


class InvalidName(CircuitError, ValueError):
    """A tenant or a circuit cannot be named so."""

    def __init__(self, field: str, value: Any) -> None:
        super().__init__(field, value)
        self.field = field
        self.value = value

    def __str__(self) -> str:
        return (
            f"{self.field}={self.value!r}: up to 64 of A-Z a-z 0-9 . _ - are possible, and a letter or digit first. "
            "The tenant * stands for all of them together."
        )


class InvalidThreshold(CircuitError, ValueError):
    """A threshold cannot have this value. Nothing was changed."""

    def __init__(self, field: str, value: Any, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field = field
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}={self.value!r}: {self.reason}."


class ReasonMissing(CircuitError, ValueError):
    """Staff did not say why. Whoever looks at the circuit next has to know."""

    def __str__(self) -> str:
        return "reason='': say why, for whoever looks at the circuit next."


class StoreUnavailable(CircuitError):
    """The database did not answer in time, so nothing is known of the circuit and nothing was recorded."""


class InvalidExpiry(CircuitError, ValueError):
    """What staff decide cannot end in the past."""

    def __init__(self, until: Any) -> None:
        super().__init__(until)
        self.until = until

    def __str__(self) -> str:
        return f"until={self.until}: must lie in the future, or be left out."


class NoSuchCircuit(CircuitError, LookupError):
    """The circuit has no row: nothing has ever failed, and staff have decided nothing."""

    def __init__(self, tenant_id: str, name: str) -> None:
        super().__init__(tenant_id, name)
        self.tenant_id = tenant_id
        self.name = name

    def __str__(self) -> str:
        return (
            f"Tenant {self.tenant_id!r} has no circuit {self.name!r}: nothing has failed there so far, "
            "and no threshold was set. Is it misspelt?"
        )
