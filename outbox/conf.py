"""Every setting of the outbox, typed, with its default and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from circuits.typed_settings import TypedSettings
from outbox import redaction
from outbox.errors import InvalidSetting

PREFIX = "OUTBOX_"


def _setting(
    default: Any, help: str, *, at_least: float | None = None, above: float | None = None, at_most: float | None = None
) -> Any:
    return field(default=default, metadata={"help": help, "at_least": at_least, "above": above, "at_most": at_most})


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """A consistent reading of all `OUTBOX_*` settings."""

    database: str = _setting("default", "Alias of the database that holds the outbox.")
    kafka_config: Mapping[str, Any] | str = _setting(
        "", "librdkafka settings: a dict, or the dotted path of a function that returns one."
    )
    # Below the upper bound no payload of any shape meets PostgreSQL's limits on jsonb, the first of which is an array
    # of 16.8 million numbers.
    max_message_bytes: int = _setting(
        900_000,
        "Largest event accepted, in bytes: payload as sent, key and headers.",
        at_least=1_000,
        at_most=50_000_000,
    )

    batch_size: int = _setting(5_000, "Most events in one round of a relay.", at_least=1, at_most=50_000)
    batch_bytes: int = _setting(8_000_000, "Most payload bytes in one round of a relay.", at_least=1_000)
    round_seconds: float = _setting(
        0.1, "Time that one round aims at; beside other relays, half of it.", above=0, at_most=5
    )
    express_round_seconds: float = _setting(
        0.02, "Time that a round aims at while quiet tenants wake up beside it.", above=0, at_most=5
    )
    quantum: int = _setting(4, "Events a lane gets at least when its turn comes.", at_least=1)
    max_lanes: int = _setting(1_024, "Lanes one relay may hold at once.", at_least=1, at_most=100_000)

    lease_seconds: float = _setting(5.0, "How long a lease lives without renewal.", above=0)
    renew_seconds: float = _setting(1.0, "Rhythm in which leases are renewed and policies read again.", above=0)
    tenure_seconds: float = _setting(1.0, "How long a relay keeps a lane while others wait.", above=0)
    idle_seconds: float = _setting(0.5, "Longest sleep of an idle relay.", above=0, at_most=60)
    scan_seconds: float = _setting(0.25, "Shortest pause between two looks for lanes with work.", above=0)
    session_takeover: bool = _setting(
        True,
        "Detect a dead relay by its database session. Switch off behind PgBouncer in transaction mode: "
        "then the lease alone decides.",
    )

    delivery_timeout_seconds: float = _setting(
        3.0, "The relay's own deadline for a delivery report; shorter than the message timeout.", above=0
    )
    message_timeout_seconds: float = _setting(
        4.5, "librdkafka's message.timeout.ms, in seconds; not longer than the lease.", above=0
    )
    max_attempts: int = _setting(20, "Failed attempts after which an event is a dead letter.", at_least=1)
    backoff_base_seconds: float = _setting(0.5, "Backoff after the first failed attempt, doubled after each.", above=0)
    backoff_max_seconds: float = _setting(300.0, "Longest backoff between two attempts.", above=0)
    dead_letter_blocks_key: bool = _setting(False, "Whether a dead letter keeps the later events of its key waiting.")

    notify: bool = _setting(True, "Wake relays by NOTIFY after a commit.")
    notify_interval_seconds: float = _setting(
        0.005, "Shortest time between two NOTIFY of one process.", at_least=0, at_most=10
    )
    backlog_seconds: float = _setting(
        5.0, "Shortest pause between two counts of what waits, all processes together.", above=0, at_most=3_600
    )
    series_hours: int = _setting(
        25, "Hours for which what the console's charts of a day show is kept.", at_least=1, at_most=8_760
    )
    backlog_limits: bool = _setting(True, "Refuse events of tenants that have reached their backlog_limit.")
    retention_days: int | None = _setting(
        30,
        "Days that sent and discarded events are kept, and their dedupe keys with them, unless a tenant's policy says "
        "otherwise; unset: for ever.",
        at_least=1,
        at_most=36_500,
    )
    dead_letter_retention_days: int | None = _setting(
        None, "Days that dead letters are kept; unset: for ever.", at_least=1, at_most=36_500
    )
    prune_minutes: int | None = _setting(
        5, "Minutes between two runs of the schedule that prunes; unset: no schedule.", at_least=1, at_most=1_440
    )
    job_rate: float = _setting(
        1_000.0,
        "Most events per second that a job of operators changes, unless it says otherwise.",
        at_least=0.1,
        at_most=1e6,
    )
    job_lease_seconds: float = _setting(
        30.0, "How long a job of operators stays with a worker that does not answer.", at_least=1, at_most=3_600
    )
    job_retention_days: int | None = _setting(
        90, "Days that jobs of operators are kept once they are over; unset: for ever.", at_least=1, at_most=36_500
    )
    relays_per_host: int | None = _setting(
        None, "How many qcluster workers of a host run a relay; unset: all of them.", at_least=0
    )
    task_queue_restart_seconds: float | None = _setting(
        None,
        "Seconds that django-q2's queue may be stuck before a worker ends its qcluster, for its supervisor to start it "
        "again; unset: it is only logged.",
        at_least=1,
        at_most=86_400,
    )
    redact: tuple[str, ...] = _setting(
        redaction.DEFAULT,
        "What staff are not shown of payloads and headers: paths such as user.email, *.password or topic:items[].card. "
        "Replaces the default; empty: all is shown.",
    )


def _out_of_bounds(value: int | float, bounds: Mapping[str, Any]) -> str | None:
    low, above, high = bounds["at_least"], bounds["above"], bounds["at_most"]
    if low is not None and not value >= low:
        return f"must be at least {low}"
    if above is not None and not value > above:
        return f"must be above {above}"
    if high is not None and not value <= high:
        return f"must be at most {high}"
    return "must be finite" if value == float("inf") else None


def _contradictions(values: OutboxSettings) -> list[InvalidSetting]:
    found = []
    if values.message_timeout_seconds > values.lease_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_LEASE_SECONDS",
                values.lease_seconds,
                "must not be shorter than OUTBOX_MESSAGE_TIMEOUT_SECONDS="
                f"{values.message_timeout_seconds}: a message could outlive the lease it was sent under",
            )
        )
    if values.delivery_timeout_seconds >= values.message_timeout_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_DELIVERY_TIMEOUT_SECONDS",
                values.delivery_timeout_seconds,
                f"must be shorter than OUTBOX_MESSAGE_TIMEOUT_SECONDS={values.message_timeout_seconds}: "
                "librdkafka must never expire a message by itself",
            )
        )
    if values.renew_seconds * 2 > values.lease_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_RENEW_SECONDS",
                values.renew_seconds,
                f"must be at most half of OUTBOX_LEASE_SECONDS={values.lease_seconds}",
            )
        )
    if values.backoff_base_seconds > values.backoff_max_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_BACKOFF_BASE_SECONDS",
                values.backoff_base_seconds,
                f"must not exceed OUTBOX_BACKOFF_MAX_SECONDS={values.backoff_max_seconds}",
            )
        )
    if values.dead_letter_blocks_key and values.dead_letter_retention_days is not None:
        found.append(
            InvalidSetting(
                "OUTBOX_DEAD_LETTER_RETENTION_DAYS",
                values.dead_letter_retention_days,
                "must be unset while OUTBOX_DEAD_LETTER_BLOCKS_KEY is true: deleting a dead letter would free its key",
            )
        )
    if wrong := redaction.problem(values.redact):
        found.append(InvalidSetting("OUTBOX_REDACT", list(values.redact), wrong))
    return found


_settings = TypedSettings(
    OutboxSettings,
    prefix=PREFIX,
    problem=InvalidSetting,
    out_of_bounds=_out_of_bounds,
    contradictions=_contradictions,
)
get = _settings.get
problems = _settings.problems
setting_name = _settings.name
