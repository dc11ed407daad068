"""A real Apache Kafka on loopback, in KRaft mode, as one broker that is its own controller."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from somabrain.embedded import locks, maven
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.leash import Leashed
from somabrain.embedded.paths import CACHE, private

VERSION = "4.1.0"

_HOME = CACHE / "kafka"

# Kafka brings no logger of its own; without one it would fail in silence.
_LOGGER = "org.slf4j:slf4j-simple:1.7.36"
_START_SECONDS = 90
_STOP_SECONDS = 30
# Below the range from which the kernel takes ports for outgoing connections: a restart needs the same ones.
_PORTS = range(20_000, 32_000)
_BROKER = ("-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
# It runs for less than a second, of which these save half.
_TOOL = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_FORMATTED, _PROPERTIES, _CLASSES = "formatted", "meta.properties", "classes.jsa"
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)

ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Settings of a broker that can `refuse` topics."""

_EVERYONE = "User:ANONYMOUS"
_ADMIN_SECONDS = 30.0


@dataclass(kw_only=True)
class KafkaBroker:
    """A broker with its data; it ends with the process that started it, however that ends."""

    data_dir: Path
    port: int
    controller_port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    _program: Leashed | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir / "broker.log"

    def start(self) -> None:
        """Start the broker and wait until it answers a metadata request."""
        if not _is_free(self.port):
            raise EmbeddedServerError(f"Kafka cannot start on port {self.port}: something else listens there.")
        self._write_configuration()
        if not (self._data / _PROPERTIES).exists():
            self._format()
        self._launch(f"-XX:SharedArchiveFile={prepared() / _CLASSES}")

    def kill(self) -> None:
        """SIGKILL: what a crash leaves is what the next start finds."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def stop(self) -> None:
        """Shut down in order, by force when that takes too long."""
        if self._program is not None:
            self._program.stop(timeout=_STOP_SECONDS)
            self._program = None

    def wait(self) -> None:
        """Return when the broker has ended, which it does not do by itself."""
        if self._program is not None:
            self._program.wait(timeout=None)

    def restart(self) -> None:
        """Start again on the same port and data, stopping first if it runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def refuse(self, topic: str) -> None:
        """From now on the topic is there, and nobody may write to it. Needs the settings `ACLS`."""
        client = self._admin()
        try:
            client.create_topics([NewTopic(topic)])[topic].result(_ADMIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        rules = ((AclOperation.WRITE, AclPermissionType.DENY), (AclOperation.DESCRIBE, AclPermissionType.ALLOW))
        acls = [
            AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, _EVERYONE, "*", operation, kind)
            for operation, kind in rules
        ]
        for answer in client.create_acls(acls).values():
            answer.result(_ADMIN_SECONDS)

    def allow(self, topic: str) -> None:
        """Takes `refuse` back."""
        anything = AclBindingFilter(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            _EVERYONE,
            "*",
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        client = self._admin()
        for answer in client.delete_acls([anything]).values():
            answer.result(_ADMIN_SECONDS)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    @property
    def _configuration(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _data(self) -> Path:
        return self.data_dir / "data"

    def _signal(self, number: int) -> None:
        for process in self._program.processes() if self._program else []:
            process.send_signal(number)

    def _write_configuration(self) -> None:
        own = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "log.dirs": str(self._data),
            "num.partitions": "4",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            # After a crash the new broker waits until the session of the old one is over, 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }
        lines = [f"{name}={value}" for name, value in {**own, **self.settings}.items()]
        self._configuration.write_text("\n".join(lines) + "\n")

    def _format(self) -> None:
        draft = self.data_dir / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(prepared() / _FORMATTED, draft)
        properties = draft / _PROPERTIES
        text = properties.read_text()
        properties.write_text(text.replace(_cluster_id(text), _draw_cluster_id()))
        draft.rename(self._data)

    def _prepare(self) -> None:
        """Leave a formatted directory and the classes of a broker, as `prepared` says, in `data_dir`."""
        self._write_configuration()
        arguments = ("format", "-t", _draw_cluster_id(), "-c", self._configuration)
        command = _java(*_TOOL, program="kafka.tools.StorageTool", arguments=arguments)
        with self.log.open("ab") as output:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
        if done.returncode:
            raise EmbeddedServerError(f"Kafka could not format its storage:\n{self._last_words()}")
        shutil.copytree(self._data, self.data_dir / _FORMATTED)
        self._launch(f"-XX:ArchiveClassesAtExit={self.data_dir / _CLASSES}")
        self.stop()
        shutil.rmtree(self._data)

    def _launch(self, *options: str) -> None:
        self._program = Leashed(
            _java(*_BROKER, *options, program="kafka.Kafka", arguments=[self._configuration]),
            log=self.log,
            environment=os.environ,
        )
        try:
            self._wait_until_it_answers(self._program)
        except BaseException:
            self.kill()
            raise

    def _wait_until_it_answers(self, program: Leashed) -> None:
        client = self._admin()
        # An object, for to the client's types a cluster's id is None.
        own: object = _cluster_id((self._data / _PROPERTIES).read_text())
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if program.returncode is not None:
                raise EmbeddedServerError(f"Kafka did not start:\n{self._last_words()}")
            try:
                # Whoever else has the port would answer too.
                if client.list_topics(timeout=0.5).cluster_id == own:
                    return
            except KafkaException:
                continue
        raise EmbeddedServerError(f"Kafka did not answer within {_START_SECONDS} s:\n{self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:].strip()


def start(
    *,
    data_dir: Path,
    port: int | None = None,
    auto_create_topics: bool = True,
    settings: Mapping[str, str] | None = None,
) -> KafkaBroker:
    """A running broker with data of its own; further `settings` are Kafka's own names and values.

    Topics that nobody created get 4 partitions, or, without `auto_create_topics`, are an error.
    """
    broker = KafkaBroker(
        data_dir=private(data_dir),
        port=port or _free_port(),
        controller_port=_free_port(),
        settings={"auto.create.topics.enable": str(auto_create_topics).lower(), **(settings or {})},
    )
    broker.start()
    return broker


def libraries() -> Path:
    """Where Kafka's jars are, fetched if need be. Raises `MissingProgram` when they are neither here nor can be."""
    return maven.jars(f"org.apache.kafka:kafka_2.13:{VERSION}", _LOGGER, name=f"kafka-{VERSION}")


def prepared() -> Path:
    """Where a formatted directory is, and the classes that a broker loads, in the form that Java loads them fastest.

    They are made once per checkout, for that is most of a start. Another Java cannot read the latter, and does without.
    """
    wanted = private(_HOME) / VERSION
    if not wanted.exists():
        with locks.exclusive(_HOME / "mutex"):
            if not wanted.exists():
                draft = wanted.with_name(f"{VERSION}.new")
                shutil.rmtree(draft, ignore_errors=True)
                KafkaBroker(data_dir=private(draft), port=_free_port(), controller_port=_free_port())._prepare()
                draft.rename(wanted)
    return wanted


def _java(*options: str, program: str, arguments: Sequence[str | Path]) -> list[str]:
    java = maven.program("java", package="default-jre-headless")
    return [java, *options, *_LOGGING, "-cp", str(libraries() / "*"), program, *map(str, arguments)]


def _cluster_id(properties: str) -> str:
    return next(line.partition("=")[2] for line in properties.splitlines() if line.startswith("cluster.id="))


def _draw_cluster_id() -> str:
    """Kafka reads a leading dash as an option."""
    while (drawn := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return drawn


def _free_port() -> int:
    for port in random.sample(_PORTS, k=100):
        if _is_free(port):
            return port
    raise EmbeddedServerError(f"No free port found between {_PORTS.start} and {_PORTS.stop}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the broker does it, which may follow another one whose connections still linger.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
