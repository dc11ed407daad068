"""librdkafka's mock cluster in this process: a Kafka in memory that can be told to refuse a topic."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path

import confluent_kafka
from confluent_kafka import KafkaError

from somabrain.embedded.errors import EmbeddedServerError

_PRODUCER = 0
_SIGNATURES = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_set_error": (None, [c_void_p, c_char_p, c_int]),
}


class MockCluster:
    """Answers until it is closed. Topics appear when they are asked for; up to 5 MiB of a partition are kept."""

    def __init__(self, *, brokers: int) -> None:
        self._library = _load()
        message = ctypes.create_string_buffer(512)
        configuration = self._library.rd_kafka_conf_new()
        # It would say that it has no broker to connect to.
        self._library.rd_kafka_conf_set(configuration, b"log_level", b"0", message, len(message))
        self._client = self._library.rd_kafka_new(_PRODUCER, configuration, message, len(message))
        if not self._client:
            raise EmbeddedServerError(f"librdkafka made no client: {message.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        self.bootstrap_servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def refuse(self, topic: str) -> None:
        """As Kafka does with a topic that its access lists close to a user."""
        self._answer(topic, KafkaError.TOPIC_AUTHORIZATION_FAILED)

    def allow(self, topic: str) -> None:
        """Take the refusal back."""
        self._answer(topic, KafkaError.NO_ERROR)

    def close(self) -> None:
        """Nothing answers any more."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def _answer(self, topic: str, code: int) -> None:
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), code)


def _load() -> ctypes.CDLL:
    """The very librdkafka that confluent_kafka runs on."""
    package = Path(confluent_kafka.__file__).parent
    bundled = [*package.parent.glob("confluent_kafka.libs/librdkafka*.so*"), *package.glob(".dylibs/librdkafka*.dylib")]
    # Built from source, it is the system's.
    library = ctypes.CDLL(str(bundled[0]) if bundled else "librdkafka.so.1")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
