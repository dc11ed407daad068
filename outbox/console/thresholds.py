"""A circuit's thresholds in a sentence."""

from __future__ import annotations

from datetime import timedelta

from circuits.console.ages import duration
from circuits.policy import Mode, Policy


def told(policy: Policy) -> str:
    """When it opens, for how long, and what closes it."""
    first, longest = (duration(timedelta(seconds=each)) for each in (policy.reset_interval, policy.max_reset_interval))
    until = f"for {first}" if first == longest else f"for {first} at first, {longest} at most"
    probes = "a probe succeeds" if policy.half_open_probes == 1 else f"{policy.half_open_probes} probes succeed"
    slow = f" Slower than {duration(timedelta(seconds=policy.slow_call))} is a failure." if policy.slow_call else ""
    return f"Opens {_opens(policy)}, {until}; closes when {probes}.{slow}"


def _opens(policy: Policy) -> str:
    if policy.mode is Mode.RATE:
        window = duration(timedelta(seconds=policy.rate_window))
        return f"when {policy.failure_rate:.0%} of {policy.minimum_calls:,} calls or more within {window} failed"
    times = "1 failure" if policy.failure_threshold == 1 else f"{policy.failure_threshold:,} failures in a row"
    return f"after {times}"
