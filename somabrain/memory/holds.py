"""Which messages wait for their tenant, and how far a group's offsets may be committed. Knows no Kafka.

A tenant whose circuit is open must not stop the others of its partitions, and a message that is not applied must not be
committed. So its partition is read on past it, its offset is held, and the partition is wound back once the tenant can
be served again. What is remembered is one offset for each tenant and partition, however many messages wait.
"""

from __future__ import annotations

from collections.abc import Container


class Holds:
    def __init__(self) -> None:
        self._held: dict[int, dict[str, int]] = {}
        self._positions: dict[int, int] = {}

    @property
    def tenants(self) -> set[str]:
        """Those with a message that waits."""
        return {tenant_id for held in self._held.values() for tenant_id in held}

    def pass_by(self, partition: int, offset: int) -> None:
        """A message was read, and is done unless it is held."""
        self._positions[partition] = offset + 1

    def hold(self, partition: int, offset: int, tenant_id: str) -> None:
        """A message was read, and waits for its tenant."""
        held = self._held.setdefault(partition, {})
        held[tenant_id] = min(offset, held.get(tenant_id, offset))

    def rewinds(self, tenants: Container[str]) -> dict[int, int]:
        """Where to read again, by partition, now that these tenants can be served."""
        places = {
            partition: [offset for tenant_id, offset in held.items() if tenant_id in tenants]
            for partition, held in self._held.items()
        }
        return {partition: min(offsets) for partition, offsets in places.items() if offsets}

    def rewound(self, partition: int, offset: int) -> None:
        """What lies at and behind the offset will be read again."""
        self._positions[partition] = offset
        held = self._held.get(partition, {})
        self._held[partition] = {tenant_id: first for tenant_id, first in held.items() if first < offset}

    def committable(self) -> dict[int, int]:
        """By partition, the offset before which everything is done."""
        return {
            partition: min([position, *self._held.get(partition, {}).values()])
            for partition, position in self._positions.items()
        }

    def forget(self, partition: int) -> None:
        """It is somebody else's now, or comes anew."""
        self._held.pop(partition, None)
        self._positions.pop(partition, None)
