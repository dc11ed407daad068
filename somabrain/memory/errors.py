"""What can go wrong with the memory, one class for each way out. `circuits.errors.CircuitOpen` is not among them."""

from __future__ import annotations

from circuits.typed_settings import InvalidValue
from somabrain.errors import SomabrainError


class MemoryServiceError(SomabrainError):
    """Something is wrong with the memory."""


class InvalidSetting(MemoryServiceError, InvalidValue):
    """A setting cannot be used."""


class InvalidArgument(MemoryServiceError, ValueError):
    """A call makes no sense. Nothing was sent or written."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field = field
        self.value = value
        """An excerpt at most: memories are confidential, and errors end in logs."""
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}={self.value}: {self.reason}."


class BackendFailed(MemoryServiceError):
    """The memory did not do what it was asked, through no fault of the caller. It may have done it all the same."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        """Short, for the circuit's history: `timeout`, `http_500`."""
        self.reason = reason

    def __str__(self) -> str:
        return f"The memory failed ({self.code}): {self.reason}."


class BackendRejected(MemoryServiceError):
    """The memory refused what it was asked, and would refuse it again: the caller has to ask for something else."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"The memory refused ({self.code}): {self.reason}."


class NotRemembered(MemoryServiceError):
    """Neither the memory nor the outbox took the write. The cause says why; try again later."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        why = f" ({' '.join(str(self.__cause__).split())})" if self.__cause__ else ""
        return f"key={self.key!r}: neither the memory nor the outbox took the write{why}. Try again later."


class Overtaken(NotRemembered):
    """The memory has a higher version of the key, also after the write was made once more with one above its own."""

    def __str__(self) -> str:
        return (
            f"key={self.key!r}: the memory ignored the write twice, since it has a higher version of the key. "
            "Either others write it at the same time, or the memory raises versions by itself. Try again later."
        )
