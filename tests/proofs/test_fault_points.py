"""A relay that dies right before or after any of its steps loses nothing, and leaves nothing held."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from somabrain.embedded.leash import Leashed
from tests.proofs.faults import MOMENTS, STEPS
from tests.proofs.stage import HANG_GUARD_SECONDS, Stage, all_sent
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

BATCH_SIZE = 200
MOST_WAVES = 20
"""Each wave of tenants is claimed, runs dry and is given back; a wave's lanes may all go in one transaction."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS)
def test_death_at_a_step_loses_nothing(step: str, moment: str, stage: Stage, tmp_path: Path) -> None:
    victim = Leashed(
        [sys.executable, "-m", "tests.proofs.faults", step, moment],
        log=tmp_path / "victim.log",
        environment={
            **clean_environment(),
            **stage.environment,
            "DJANGO_SETTINGS_MODULE": "somabrain.settings",
            "OUTBOX_BATCH_SIZE": str(BATCH_SIZE),
            "OUTBOX_TENURE_SECONDS": "0.2",
        },
    )
    try:
        for wave in range(MOST_WAVES):
            stage.seed({f"tenant-{wave}-{number}": 100 + 100 * number for number in range(5)})
            wait_until(lambda: victim.returncode is not None or all_sent(), timeout=HANG_GUARD_SECONDS)
            if victim.returncode is not None:
                break
        assert victim.wait(timeout=HANG_GUARD_SECONDS) == -signal.SIGKILL, victim.log.read_text()
    finally:
        victim.kill()
    stage.start_relays(1)
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    assert len(verdict.duplicates) <= 2 * BATCH_SIZE
