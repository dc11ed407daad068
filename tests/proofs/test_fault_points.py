"""A relay that dies right before or after any of its steps loses nothing, and leaves nothing held."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from outbox import conf
from somabrain.embedded.leash import Leashed
from tests.proofs.faults import MOMENTS, STEPS
from tests.proofs.stage import HANG_GUARD_SECONDS, Stage
from tests.support.processes import clean_environment

# Two waves of tenants, so that lanes are claimed, and run dry and are given back, more than once.
FIRST = {f"tenant-{number}": 300 for number in range(5)}
SECOND = {f"later-{number}": 300 for number in range(5)}


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
            "OUTBOX_BATCH_SIZE": "200",
            "OUTBOX_TENURE_SECONDS": "0.2",
        },
    )
    try:
        stage.seed(FIRST)
        stage.wait_until_some_are_sent_or(lambda: victim.returncode is not None)
        stage.seed(SECOND)
        assert victim.wait(timeout=HANG_GUARD_SECONDS) == -signal.SIGKILL, victim.log.read_text()
    finally:
        victim.kill()
    stage.start_relays(1)
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    assert len(verdict.duplicates) <= 2 * conf.get().batch_size
