"""librdkafka's error codes by failure class, as the relay judges them."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import KafkaError

from docs._ext.markdown import code, table
from outbox.relay.failures import _CODES, FailureClass


def markdown() -> str:
    return table(["Class", "Codes"], _rows())


def _rows() -> Iterator[list[str]]:
    for failure in FailureClass:
        names = sorted(KafkaError(number).name() for number in _CODES[failure])
        yield [code(failure.value), ", ".join(code(name) for name in names)]
