"""A consumer as the page has it, behind a real relay: everything is done once, whatever comes twice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import OFFSET_STORED, Consumer, KafkaException, Message, Producer, TopicPartition
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import isolate_apps

from outbox.api import enqueue
from outbox.models import EventStatus, OutboxEvent, OutboxLane
from tests.conftest import StartManage
from tests.docs.pages import DOCS, blocks, run
from tests.support.mock_cluster import MockCluster
from tests.support.topics import event_ids

_PAGE = DOCS / "how-to" / "consume.md"
_PARTITIONS = range(4)


@pytest.fixture
def billing(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[Any]:
    """The page's modules; `bills` has what they have written."""
    models_block, consume_block = (block for block in blocks(_PAGE) if block.language == "python")
    modules = {name: ModuleType(name) for name in ("billing", "billing.models", "billing.bills", "billing.consume")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    bills: list[Any] = []
    vars(modules["billing.bills"])["write_bill"] = bills.append
    with isolate_apps("outbox"):
        # A model has to belong to an app that is installed.
        names = vars(modules["billing.models"]) | {"__name__": "outbox.models"}
        run(_PAGE, models_block, names)
    vars(modules["billing.models"]).update(names)
    consume = modules["billing.consume"]
    run(_PAGE, consume_block, vars(consume))
    vars(consume)["bills"] = bills
    with connection.schema_editor() as editor:
        editor.create_model(names["SeenEvent"])
    yield consume
    with connection.schema_editor() as editor:
        editor.delete_model(names["SeenEvent"])


@pytest.fixture
def relay(start_manage: StartManage, mock_cluster: MockCluster) -> Any:
    """Publish what waits."""

    def publish() -> None:
        where = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
        process = start_manage("outbox", "relay", "--until-empty", env=where)
        assert process.wait(timeout=120) == 0, process.output()

    return publish


def _connect(billing: Any, cluster: MockCluster) -> Consumer:
    """Without the group's protocol, which takes the mock cluster seconds; offsets are the group's all the same."""
    consumer: Consumer = billing.connect(cluster.bootstrap_servers)
    consumer.assign([TopicPartition("orders", partition, OFFSET_STORED) for partition in _PARTITIONS])
    return consumer


def _consume(billing: Any, consumer: Consumer, messages: int) -> None:
    handled = billing.handle
    left = messages

    def handle(message: Message) -> None:
        nonlocal left
        handled(message)
        left -= 1

    vars(billing)["handle"] = handle
    try:
        while left:
            billing.consume(consumer)
    finally:
        vars(billing)["handle"] = handled


def _place(*numbers: int) -> list[int]:
    with transaction.atomic():
        return [
            enqueue(topic="orders", payload={"order": number}, tenant_id="acme", partition_key="all").event_id
            for number in numbers
        ]


def test_a_crash_and_a_replay_bring_duplicates_that_are_done_once(
    billing: Any, relay: Any, mock_cluster: MockCluster
) -> None:
    first, second, third = _place(1, 2, 3)
    relay()
    # As a crash of the database may leave it, since relays do not wait for the disk: without what was written last.
    OutboxLane.objects.all().delete()
    OutboxEvent.objects.filter(pk=second).update(
        status=EventStatus.PENDING, sent_at=None, kafka_partition=None, kafka_offset=None
    )
    relay()
    call_command(
        "outbox",
        "replay",
        "--id",
        str(third),
        "--status",
        "sent",
        "--reason",
        "to see it dropped",
        "--yes",
        verbosity=0,
    )
    relay()
    assert event_ids(mock_cluster.bootstrap_servers, "orders") == [first, second, third, second, third]
    consumer = _connect(billing, mock_cluster)
    _consume(billing, consumer, 5)
    consumer.close()
    assert billing.bills == [{"order": 1}, {"order": 2}, {"order": 3}]


def test_a_consumer_that_dies_before_it_commits_its_offset_does_nothing_twice(
    billing: Any, relay: Any, mock_cluster: MockCluster
) -> None:
    _place(1, 2)
    relay()

    class Dying:
        """Ends where it hurts most: the bill is committed, the offset is not."""

        def __init__(self, consumer: Consumer) -> None:
            self.poll = consumer.poll

        def commit(self, **_: Any) -> None:
            raise KeyboardInterrupt

    consumer = _connect(billing, mock_cluster)
    with pytest.raises(KeyboardInterrupt):
        while True:
            billing.consume(Dying(consumer))
    assert billing.bills == [{"order": 1}]
    consumer.close()
    consumer = _connect(billing, mock_cluster)
    _consume(billing, consumer, 2)
    consumer.close()
    assert billing.bills == [{"order": 1}, {"order": 2}]


def test_what_fails_comes_again(billing: Any, relay: Any, mock_cluster: MockCluster) -> None:
    _place(1)
    relay()
    written, vars(billing)["write_bill"] = billing.write_bill, _refuse
    consumer = _connect(billing, mock_cluster)
    with pytest.raises(ZeroDivisionError):
        _consume(billing, consumer, 1)
    consumer.close()
    vars(billing)["write_bill"] = written
    consumer = _connect(billing, mock_cluster)
    _consume(billing, consumer, 1)
    consumer.close()
    assert billing.bills == [{"order": 1}]


def _refuse(order: Any) -> None:
    raise ZeroDivisionError(order)


def test_a_message_of_somebody_else_holds_nothing_up(
    billing: Any, relay: Any, mock_cluster: MockCluster, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer({"bootstrap.servers": mock_cluster.bootstrap_servers})
    producer.produce("orders", b"hello", b"acme:all")
    producer.flush(30)
    _place(1)
    relay()
    consumer = _connect(billing, mock_cluster)
    _consume(billing, consumer, 2)
    consumer.close()
    assert billing.bills == [{"order": 1}]
    assert "was not written by the outbox" in caplog.text


def test_the_loop_ends_with_what_is_fatal(billing: Any) -> None:
    class Error:
        def __init__(self, fatal: bool) -> None:
            self.fatal = lambda: fatal

    class Broken:
        """Says that a broker is away, then that nothing will help."""

        closed = False

        def __init__(self) -> None:
            self._said = [Error(fatal=True), Error(fatal=False), None]

        def subscribe(self, topics: list[str]) -> None:
            assert topics == ["orders"]

        def poll(self, timeout: float) -> Any:
            said = self._said.pop()
            return said and type("Said", (), {"error": lambda self: said})()

        def close(self) -> None:
            self.closed = True

    broken = Broken()
    with pytest.raises(KafkaException):
        billing.run(broken)
    assert broken.closed


def test_the_pages_model_leaves_no_trace() -> None:
    assert "seenevent" not in apps.all_models["outbox"]
