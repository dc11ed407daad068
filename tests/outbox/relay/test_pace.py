import pytest

from outbox.conf import OutboxSettings
from outbox.relay.pace import AMONG_RELAYS, FEWEST, QUIET_WAKE_SECONDS, Pace


def settled(pace: Pace, *, per_event: float, rounds: int = 50) -> None:
    for _ in range(rounds):
        pace.took(events=1_000, seconds=1_000 * per_event)


def test_a_round_is_as_large_as_its_time_allows() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.05))
    settled(pace, per_event=20e-6)
    assert pace.batch(0.0) == pytest.approx(2_500, rel=0.01)
    settled(pace, per_event=100e-6)
    assert pace.batch(0.0) == pytest.approx(500, rel=0.01)


def test_what_is_guessed_at_the_beginning_counts_for_nothing_once_a_round_is_measured() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.05))
    settled(pace, per_event=20e-6, rounds=1)
    assert pace.batch(0.0) == pytest.approx(2_500, rel=0.01)


def test_one_slow_round_changes_little() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.05))
    settled(pace, per_event=20e-6)
    pace.took(events=1_000, seconds=0.04)
    assert pace.batch(0.0) > 2_000


def test_a_round_has_bounds() -> None:
    pace = Pace(OutboxSettings(batch_size=3_000))
    settled(pace, per_event=1e-6)
    assert pace.batch(0.0) == 3_000
    settled(pace, per_event=1.0)
    assert pace.batch(0.0) == FEWEST


@pytest.mark.parametrize("batch_size", [1, 7, FEWEST])
def test_the_batch_size_is_never_exceeded(batch_size: int) -> None:
    pace = Pace(OutboxSettings(batch_size=batch_size))
    settled(pace, per_event=1.0)
    assert pace.batch(0.0) == batch_size


def test_small_rounds_say_nothing_about_the_cost_of_an_event() -> None:
    pace = Pace(OutboxSettings())
    before = pace.batch(0.0)
    for _ in range(100):
        pace.took(events=FEWEST - 1, seconds=1.0)
        pace.took(events=0, seconds=1.0)
    assert pace.batch(0.0) == before


def test_rounds_are_short_while_quiet_tenants_wake_up() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.05, express_round_seconds=0.02))
    settled(pace, per_event=20e-6)
    pace.quiet_lane_woke(100.0)
    assert pace.round_seconds(100.0) == 0.02
    assert pace.batch(100.0) == pytest.approx(1_000, rel=0.01)
    assert pace.round_seconds(100.0 + QUIET_WAKE_SECONDS) == 0.05


def test_a_round_is_shorter_beside_other_relays() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.1, express_round_seconds=0.02))
    pace.is_alone = False
    assert pace.round_seconds(0.0) == 0.1 * AMONG_RELAYS
    pace.quiet_lane_woke(0.0)
    assert pace.round_seconds(0.0) == 0.02


def test_a_round_is_never_made_longer_by_a_quiet_tenant() -> None:
    pace = Pace(OutboxSettings(round_seconds=0.01, express_round_seconds=0.02))
    pace.quiet_lane_woke(0.0)
    assert pace.round_seconds(0.0) == 0.01
