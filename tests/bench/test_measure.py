from __future__ import annotations

import pytest

from bench.measure import Spread, percentile, ratios, spread


def test_a_spread_tells_the_middle_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0, 9.0]) == Spread(median=2.5, minimum=1.0, maximum=9.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_sample_that_was_seen(share: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_ratios_compare_within_a_round() -> None:
    assert ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])
