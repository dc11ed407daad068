"""Metadata requests, through clients that carry no event."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from outbox.kafka.config import metadata_config
from outbox.kafka.logs import ClientLog

REQUEST_SECONDS = 1.0
"""How long a request may take."""


class MetadataClient:
    """Asks any broker of the cluster. `config` is the operator's. Calls block up to `REQUEST_SECONDS`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = metadata_config(base=config)
        self._log = ClientLog(self._config)
        self._client: Producer | None = None

    def ask(self, topic: str) -> int:
        """0 when the topic can be written to, else the broker's error code. Creates it where brokers do that.

        Raises `KafkaException` when no broker has answered.
        """
        if self._client is None:
            self._client = Producer({**self._config, "logger": self._log})
        try:
            found = self._client.list_topics(topic, timeout=REQUEST_SECONDS).topics.get(topic)
        except KafkaException:
            # The next request goes through a fresh client: an old one may have lost its way to the cluster.
            self.close()
            raise
        if found is not None and found.error is not None:
            return int(found.error.code())
        return 0 if found is not None and found.partitions else KafkaError.LEADER_NOT_AVAILABLE

    def probe(self, *, topic: str | None = None) -> bool:
        """Whether a client that knows nothing yet gets an answer.

        It asks for `topic` if one is known, which need not exist any more and is not created: whoever waits for a topic
        is connected as soon as there is a broker, and whoever waits for the cluster's id tries once a second.
        """
        config = {**self._config, "allow.auto.create.topics": False, "log_level": 0}
        with closing(Producer(config)) as client:
            try:
                if topic is None:
                    return bool(client.cluster_id(timeout=REQUEST_SECONDS))
                client.list_topics(topic, timeout=REQUEST_SECONDS)
                return True
            except KafkaException:
                return False

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        if self._client is not None:
            self._client.poll(0)
            self._client.close()
            self._client = None
