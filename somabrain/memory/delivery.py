"""One tenant's queued writes, applied in order for as long as the memory takes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from circuits.api import CircuitOpen
from somabrain.memory import guarded
from somabrain.memory.backend import MemoryBackend, Write
from somabrain.memory.errors import BackendFailed, BackendRejected

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Delivery:
    """How far it came."""

    applied: list[Write] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    """Reasons, by the place in the order."""
    done: int = 0
    """So many of the first are applied or rejected; the others wait."""
    failed: bool = False
    """Whether the memory failed or the circuit is open; if not, the time was over."""


def deliver(backend: MemoryBackend, writes: Sequence[Write], *, enough: Callable[[], bool]) -> Delivery:
    """Apply writes of one tenant until one fails or it is `enough`. Never raises."""
    found, newest = Delivery(), dict[tuple[str, str], int]()
    circuit = guarded.circuit_of(writes[0].tenant_id)
    for place, write in enumerate(writes):
        if enough():
            break
        here = (write.namespace, write.key)
        try:
            # A redelivery may bring an older write once more, behind a newer one.
            if write.version > newest.get(here, 0):
                guarded.put(circuit, backend, write)
        except BackendRejected as error:
            logger.error("A queued write of tenant %r is refused for good: %s", write.tenant_id, error)
            found.rejected[place] = str(error)
        except Exception as error:
            if not isinstance(error, CircuitOpen | BackendFailed):
                logger.warning("The memory raised what it should not; the write waits.", exc_info=error)
            found.failed = True
            break
        else:
            found.applied.append(write)
            newest[here] = max(write.version, newest.get(here, 0))
        found.done = place + 1
    return found
