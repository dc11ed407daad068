"""librdkafka's settings: what the operator gives, and what the outbox's guarantees rest on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import KafkaException, Producer
from django.utils.module_loading import import_string

from outbox import conf
from outbox.errors import InvalidSetting

SETTING = "OUTBOX_KAFKA_CONFIG"
REDACTED = "***"

_SECRET = re.compile(r"password|secret|\.key\.pem$|oauthbearer\.config$|assertion\.private", re.IGNORECASE)

# Names that librdkafka takes for one and the same setting.
_ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "delivery.timeout.ms": "message.timeout.ms",
    "queue.buffering.max.ms": "linger.ms",
    "message.send.max.retries": "retries",
    # The one with an underscore, which a name from the environment cannot keep.
    "log.level": "log_level",
}

_DEFAULTS: dict[str, Any] = {
    "client.id": "outbox-relay",
    # While a round is produced: whoever then waits for the reports has what lingers sent at once.
    "linger.ms": 5,
    # The broker's verdict on one record falls on its whole batch, and a topic may take less than
    # librdkafka's 1 MB, which was no faster.
    "batch.size": 256 * 1024,
    # An unknown topic is reported after this time, and not only when the message expires.
    "topic.metadata.propagation.max.ms": 2_000,
    # librdkafka waits half of the first before it connects to a broker that the bootstrap server names. With
    # its 10 s for the second, a broker that is back stays unnoticed for as long.
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "socket.keepalive.enable": True,
    "log.connection.close": False,
}

# Settings that only concern messages, or that only an idempotent producer may have.
_OF_EVENTS = frozenset(
    {"enable.idempotence", "enable.gapless.guarantee", "transactional.id", "message.timeout.ms", "linger.ms"}
)

# Framing of a record, of its headers and of the batch around it, on top of what an event's size counts.
_FRAMING_BYTES = 16 * 1024

# A name unknown to librdkafka: it stops the creation of a client once all settings before it were accepted.
_STOP = "outbox.stop"
_UNKNOWN = "No such configuration property"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A setting that would break a guarantee, or that librdkafka refuses. Secrets are blacked out."""

    name: str
    value: str
    message: str


def client_config() -> dict[str, Any]:
    """The operator's settings, under librdkafka's names; read anew at each call.

    Raises `InvalidSetting` when OUTBOX_KAFKA_CONFIG leads to none, and whatever its function raises.
    """
    given = conf.get().kafka_config
    if given == "":
        raise InvalidSetting(SETTING, given, "must name at least bootstrap.servers")
    if isinstance(given, str):
        given = _function(given)()
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise InvalidSetting(SETTING, kind, "must be a dict, or the path of a function that returns one")
    return _canonical(given)


def producer_config(
    *, base: Mapping[str, Any], delivery_timeout: float, message_timeout: float, isolate: bool = False
) -> dict[str, Any]:
    """The settings of a relay's producer: `base`, and what delivery within the time-outs (seconds) needs.

    A value in `base` wins. One that would break a guarantee raises `InvalidSetting`. With `isolate` every message is a
    batch of its own, so that the broker's verdict on a batch is one on its message.
    """
    given = _canonical(base)
    for name, complaint in _broken(given, delivery_timeout=delivery_timeout):
        raise InvalidSetting(name, given[name], complaint)
    ours = {**_DEFAULTS, **_sizes(), "enable.idempotence": True, "acks": "all"}
    ours["message.timeout.ms"] = round(message_timeout * 1000)
    return {**ours, **given, **({"batch.num.messages": 1} if isolate else {})}


def metadata_config(*, base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a client that only asks for metadata: quick to connect again, no producer id."""
    given = {name: value for name, value in _canonical(base).items() if name not in _OF_EVENTS}
    return {
        **given,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 100,
        "log.connection.close": False,
    }


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """Everything in the operator's `config` that a relay cannot work with.

    Opens no connection and leaves no thread behind.
    """
    given = _canonical(config)
    found = {
        name: _problem(name, given, complaint)
        for name, complaint in _broken(given, delivery_timeout=conf.get().delivery_timeout_seconds)
    }
    if not given.get("bootstrap.servers"):
        found["bootstrap.servers"] = _problem("bootstrap.servers", given, "must name a broker to publish to")
    for name, value in given.items():
        refusal = _refusal({name: value, _STOP: ""})
        if name not in found and refusal and _STOP not in refusal:
            found[name] = _problem(name, given, f"librdkafka: {refusal}", known=_UNKNOWN not in refusal)
    return list(found.values()) or list(_contradictions(given))


def redact(text: str, config: Mapping[str, Any]) -> str:
    """`text` without the secrets that stand in `config`."""
    for name, value in config.items():
        if value and _SECRET.search(name):
            text = text.replace(str(value), REDACTED)
    return text


def _canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    return {_ALIASES.get(str(name), str(name)): value for name, value in config.items()}


def _function(path: str) -> Callable[[], Any]:
    try:
        found = import_string(path)
    except ImportError as error:
        raise InvalidSetting(SETTING, path, f"cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidSetting(SETTING, path, "must be the path of a function that returns a dict")
    return cast(Callable[[], Any], found)


def _sizes() -> dict[str, int]:
    settings = conf.get()
    return {
        "message.max.bytes": settings.max_message_bytes + _FRAMING_BYTES,
        # Two rounds wait here at most. When it is full all the same, the relay polls and goes on.
        "queue.buffering.max.kbytes": max(32 * 1024, 2 * settings.max_message_bytes // 1024),
        "queue.buffering.max.messages": max(20_000, 3 * settings.batch_size),
    }


def _broken(config: Mapping[str, Any], *, delivery_timeout: float) -> Iterator[tuple[str, str]]:
    """Name and complaint for every value that would break a guarantee."""
    lease = conf.get().lease_seconds
    limits = {"deadline": delivery_timeout, "lease": lease, "bytes": _sizes()["message.max.bytes"]}
    for name, is_broken, complaint in _RULES:
        if name in config and is_broken(config[name], limits):
            yield name, complaint.format(**limits)


_RULES: tuple[tuple[str, Callable[[Any, Mapping[str, float]], bool], str], ...] = (
    (
        "acks",
        lambda value, _: _word(value) not in ("all", "-1"),
        "must be all: an event counts as sent once every in-sync replica has it",
    ),
    (
        "enable.idempotence",
        lambda value, _: _word(value) in ("false", "f", "0"),
        "must be true: without it a retry repeats and reorders events",
    ),
    (
        "max.in.flight.requests.per.connection",
        lambda value, _: _number(value) > 5,
        "must be at most 5: with more a retry reorders events",
    ),
    (
        "enable.gapless.guarantee",
        lambda value, _: _word(value) in ("true", "t", "1"),
        "must be false: one tenant's bad event would stop the producer for all tenants",
    ),
    (
        "delivery.report.only.error",
        lambda value, _: _word(value) in ("true", "t", "1"),
        "must be false: an event becomes sent by its delivery report",
    ),
    (
        "partitioner",
        lambda value, _: _word(value) == "random",
        "must not be random: the events of a key have to share a partition",
    ),
    (
        "message.timeout.ms",
        lambda value, limits: not limits["deadline"] * 1000 < _number(value) <= limits["lease"] * 1000,
        "must be above OUTBOX_DELIVERY_TIMEOUT_SECONDS={deadline}, since librdkafka must never expire a "
        "message by itself, and at most OUTBOX_LEASE_SECONDS={lease}, which no message may outlive",
    ),
    (
        "linger.ms",
        lambda value, limits: _number(value) >= limits["deadline"] * 1000,
        "must be below OUTBOX_DELIVERY_TIMEOUT_SECONDS={deadline}",
    ),
    (
        "message.max.bytes",
        lambda value, limits: _number(value) < limits["bytes"],
        "must be at least {bytes}: OUTBOX_MAX_MESSAGE_BYTES accepts events that need as much",
    ),
    (
        "transactional.id",
        lambda *_: True,
        "must not be set: the relay's producer is idempotent and uses no Kafka transactions",
    ),
    (
        "test.mock.num.brokers",
        lambda *_: True,
        "must not be set: each process would publish to a mock broker of its own",
    ),
)


def _word(value: Any) -> str:
    return str(value).strip().lower()


def _number(value: Any) -> float:
    """NaN, which compares with nothing, when it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _contradictions(given: Mapping[str, Any]) -> Iterator[Problem]:
    """What librdkafka refuses about settings that are each fine, such as a certificate it cannot read."""
    settings = conf.get()
    config = producer_config(
        base=given,
        delivery_timeout=settings.delivery_timeout_seconds,
        message_timeout=settings.message_timeout_seconds,
    )
    # Without a broker to connect to, the client has nothing to wait for when it is closed.
    refusal = _refusal({name: value for name, value in config.items() if name != "bootstrap.servers"})
    if refusal:
        named = [name for name in given if name in refusal]
        yield _problem(named[0] if named else SETTING, given, f"librdkafka: {refusal}")


def _refusal(config: Mapping[str, Any]) -> str | None:
    try:
        Producer({**config, "log_level": 0}).close()
    except KafkaException as error:
        return str(error.args[0].str()).strip()
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _problem(name: str, given: Mapping[str, Any], message: str, *, known: bool = True) -> Problem:
    # A misspelt name may be that of a secret.
    value = redact(str(given.get(name, "")), given) if known else REDACTED
    return Problem(name=name, value=value, message=redact(message, given))
