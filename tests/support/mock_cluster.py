"""librdkafka's mock cluster, with its faults: no Java, no network, one object per test."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

PRODUCE = 0
FETCH = 1
METADATA = 3
INIT_PRODUCER_ID = 22

_PRODUCER = 0
_REFUSED = "librdkafka refused to {}: error {}"

_MOST_DELAYS = 400


class MockCluster:
    """A cluster in memory. Faults hold until they are taken back or the cluster is closed.

    Error codes are Kafka's numbers, as `confluent_kafka.KafkaError` has them; brokers count from 1.
    """

    def __init__(self, *, brokers: int = 1) -> None:
        self._library = _load()
        message = ctypes.create_string_buffer(512)
        self._client = self._library.rd_kafka_new(_PRODUCER, None, message, len(message))
        if not self._client:
            raise RuntimeError(message.value.decode())
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        self.bootstrap_servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the cluster; nothing answers any more."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None

    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Make a topic; without this one appears with 4 partitions when it is first asked for."""
        self._do(
            "create a topic",
            self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1),
        )

    def lead(self, name: str, *, broker: int, partitions: int = 1) -> None:
        """Make a topic, all of whose partitions this broker leads."""
        self.create_topic(name, partitions=partitions)
        for number in range(partitions):
            self._do(
                "set a leader",
                self._library.rd_kafka_mock_partition_set_leader(self._cluster, name.encode(), number, broker),
            )

    def fail_topic(self, name: str, code: int) -> None:
        """Answer every question for the topic's metadata with an error; code 0 takes it back."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def fail_requests(self, *codes: int, api: int = PRODUCE) -> None:
        """Answer the next requests of a kind with these errors, one each, in this order; 0 lets one pass."""
        errors = (c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(codes), errors)

    def forgive_requests(self, *, api: int = PRODUCE) -> None:
        """Drop the errors that are still waiting for requests."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api)

    def delay_requests(self, *milliseconds: int, api: int = PRODUCE, broker: int = 1) -> None:
        """Let this broker answer the next requests of a kind so late, one each; what comes later waits behind."""
        push = self._library.rd_kafka_mock_broker_push_request_error_rtts
        # A call takes a thousand arguments; what is pushed comes after what was pushed before.
        for at in range(0, len(milliseconds), _MOST_DELAYS):
            some = milliseconds[at : at + _MOST_DELAYS]
            pairs = [c_int(number) for late in some for number in (0, late)]
            self._do("delay requests", push(self._cluster, broker, api, len(some), *pairs))

    def pending_failures(self, *, api: int = PRODUCE, broker: int = 1) -> int:
        """How many errors and delays pushed for this broker alone still wait for a request."""
        count = c_size_t()
        self._do(
            "count errors",
            self._library.rd_kafka_mock_broker_error_stack_cnt(self._cluster, broker, api, byref(count)),
        )
        return count.value

    def broker_down(self, broker: int = 1) -> None:
        """Close the broker's connections, and refuse new ones."""
        self._do("stop a broker", self._library.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def broker_up(self, broker: int = 1) -> None:
        """Let a broker that was down answer again, at the same address and with its data."""
        self._do("start a broker", self._library.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def round_trip(self, milliseconds: int, *, broker: int = 1) -> None:
        """Make the broker answer this late."""
        self._do(
            "set a round trip",
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds),
        )

    @staticmethod
    def _do(what: str, code: int) -> None:
        if code:
            raise RuntimeError(_REFUSED.format(what, code))


def _load() -> ctypes.CDLL:
    """The very librdkafka that confluent_kafka runs on."""
    package = Path(confluent_kafka.__file__).parent
    candidates = [
        *package.parent.glob("confluent_kafka.libs/librdkafka*.so*"),
        *package.glob(".dylibs/librdkafka*.dylib"),
    ]
    library = ctypes.CDLL(str(candidates[0]))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_SIGNATURES = {
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_partition_set_leader": (c_int, [c_void_p, c_char_p, c_int32, c_int32]),
    "rd_kafka_mock_topic_set_error": (None, [c_void_p, c_char_p, c_int]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
    "rd_kafka_mock_clear_request_errors": (None, [c_void_p, c_int16]),
    "rd_kafka_mock_broker_error_stack_cnt": (c_int, [c_void_p, c_int32, c_int16, POINTER(c_size_t)]),
    # The errors and delays, in turn, come after these.
    "rd_kafka_mock_broker_push_request_error_rtts": (c_int, [c_void_p, c_int32, c_int16, c_size_t]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_rtt": (c_int, [c_void_p, c_int32, c_int]),
}
