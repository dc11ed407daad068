"""The order of a key is that in which the application serialised its transactions."""

from __future__ import annotations

import pytest

from tests.proofs.sizes import size
from tests.proofs.stage import Stage
from tests.proofs.writers import Load


@pytest.mark.parametrize("relays", [1, 2])
def test_a_key_keeps_its_order_while_transactions_of_its_neighbours_overlap(stage: Stage, relays: int) -> None:
    """What commits behind a lane's cursor must not be overtaken by the next transaction of its key."""
    stage.start_relays(relays)
    load = Load(
        topic=stage.topic,
        tenants={"acme": 1, "beta": 1},
        keys=10,
        transactions=size(150, 2_000),
        open_seconds=0.01,
    )
    with stage.writing(load, processes=6):
        pass
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    assert not verdict.duplicates
