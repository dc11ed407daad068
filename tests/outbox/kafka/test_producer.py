import os
import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError

from outbox.kafka.producer import Sender, SenderLost
from tests.outbox.kafka.conftest import HANG_SECONDS, MakeSender, consume, native_threads, wait_until
from tests.support.mock_cluster import INIT_PRODUCER_ID, MockCluster

NOWHERE = "127.0.0.1:9"
VALUES = [str(n) for n in range(500)]


def test_messages_are_delivered_in_order(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    assert reports.deliver(*VALUES) == [0] * len(VALUES)
    assert reports.order == VALUES
    # Lines of the client's log are counted as well until they are served.
    _poll_until(reports.sender, lambda: reports.sender.outstanding == 0)


def test_produce_is_the_clients_own_method(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    sender = make_sender(mock_cluster.bootstrap_servers).sender
    assert type(sender.produce).__name__ == "builtin_function_or_method"


def test_warming_without_a_broker_fails_in_time(make_sender: MakeSender) -> None:
    sender = make_sender(NOWHERE, warm=False, log_level=0).sender
    assert not sender.warm(timeout=0.1)
    assert not sender.warm(timeout=0)


def test_warming_by_one_topic_spares_the_others(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers, warm=False)
    assert reports.sender.warm(topic="news", timeout=HANG_SECONDS)
    assert reports.sender._has_id
    assert reports.deliver("first") == [0]


def test_warming_gets_the_producer_id_before_the_first_event(
    mock_cluster: MockCluster, make_sender: MakeSender
) -> None:
    mock_cluster.fail_requests(*[KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 3, api=INIT_PRODUCER_ID)
    sender = make_sender(mock_cluster.bootstrap_servers, warm=False).sender
    assert not sender._has_id
    assert sender.warm(timeout=HANG_SECONDS)
    assert sender._has_id


def test_warming_ends_when_the_producer_id_is_denied(
    mock_cluster: MockCluster, make_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    mock_cluster.fail_requests(KafkaError.CLUSTER_AUTHORIZATION_FAILED, api=INIT_PRODUCER_ID)
    sender = make_sender(mock_cluster.bootstrap_servers, warm=False).sender
    assert not sender.warm(timeout=HANG_SECONDS)
    assert sender.fatal is not None
    assert sender.fatal.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED
    assert "The producer cannot go on" in caplog.text


def test_trouble_with_the_broker_shows_until_a_message_is_delivered(
    mock_cluster: MockCluster, make_sender: MakeSender
) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers, log_level=0)
    mock_cluster.broker_down()
    reports.produce("late")
    since = _suspicion(reports.sender)
    assert since <= time.monotonic()
    mock_cluster.broker_up()
    assert reports.sender.warm(timeout=HANG_SECONDS)
    assert reports.wait("late") == [0]
    assert _suspicion(reports.sender) == since
    reports.sender.trust()
    assert reports.sender.broker_suspect_since is None


def test_librdkafkas_log_is_pythons(make_sender: MakeSender, caplog: pytest.LogCaptureFixture) -> None:
    sender = make_sender(NOWHERE, warm=False).sender
    sender.warm(timeout=0.3)
    _poll_until(sender, lambda: "Connection refused" in caplog.text)


def test_whoever_waits_has_what_lingers_sent_at_once(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    patient = {"linger_ms": 120_000, "delivery_timeout": 300, "message_timeout": 600}
    reports = make_sender(mock_cluster.bootstrap_servers, **patient)
    reports.produce(*VALUES)
    reports.sender.poll(0.05)
    assert not reports.order
    reports.sender.wait(HANG_SECONDS)
    assert [reports.codes[value] for value in VALUES] == [0] * len(VALUES)


def test_an_error_in_a_delivery_callback_comes_out_of_poll(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    sender = make_sender(mock_cluster.bootstrap_servers).sender
    sender.produce("news", b"x", "acme:1", -1, explode)
    with pytest.raises(ZeroDivisionError):
        _poll_until(sender, lambda: not sender.outstanding)


def test_a_purged_message_is_reported_before_the_end(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    reports.deliver("before")
    mock_cluster.round_trip(60_000)
    reports.produce(*VALUES)
    reports.sender.poll(0.05)
    assert reports.sender.purge_and_close(HANG_SECONDS) == 0
    assert {reports.codes[value] for value in VALUES} <= {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}


def test_what_the_broker_has_may_be_purged_as_well_and_is_told_apart(
    mock_cluster: MockCluster, make_sender: MakeSender
) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers, max_in_flight=1)
    assert reports.deliver("before") == [0]
    mock_cluster.delay_requests(60_000)
    reports.produce("sent")
    _poll_until(reports.sender, lambda: not mock_cluster.pending_failures())
    reports.produce("waits")
    assert reports.sender.purge_and_close(HANG_SECONDS) == 0
    assert reports.codes == {"before": 0, "sent": KafkaError._PURGE_INFLIGHT, "waits": KafkaError._PURGE_QUEUE}
    assert consume(mock_cluster.bootstrap_servers, topic="news", count=2) == ["before", "sent"]


def test_what_was_acknowledged_before_the_purge_is_not_lost(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    reports.produce("done")
    assert consume(mock_cluster.bootstrap_servers, topic="news", count=1) == ["done"]
    # A connection's requests are answered in order, so the acknowledgement is here as well.
    assert reports.sender._client is not None
    reports.sender._client.list_topics(timeout=HANG_SECONDS)
    assert reports.codes == {}
    reports.sender.purge_and_close(HANG_SECONDS)
    assert reports.codes == {"done": 0}


def test_order_holds_and_nothing_is_lost_when_another_producer_sends_what_was_purged(
    mock_cluster: MockCluster, make_sender: MakeSender
) -> None:
    first = make_sender(mock_cluster.bootstrap_servers)
    mock_cluster.round_trip(60_000)
    first.produce(*VALUES)
    first.sender.poll(0.05)
    first.sender.purge_and_close(HANG_SECONDS)
    mock_cluster.round_trip(0)
    second = make_sender(mock_cluster.bootstrap_servers)
    assert second.deliver(*VALUES) == [0] * len(VALUES)
    received = consume(mock_cluster.bootstrap_servers, topic="news", count=len(VALUES))
    assert list(dict.fromkeys(received)) == VALUES[: len(dict.fromkeys(received))]


def test_closing_without_a_broker_takes_no_longer_than_allowed(make_sender: MakeSender) -> None:
    reports = make_sender(NOWHERE, warm=False, log_level=0)
    reports.produce(*VALUES)
    assert reports.sender.purge_and_close(5) == 0
    assert set(reports.codes.values()) == {KafkaError._PURGE_QUEUE}


def test_closing_in_no_time_gives_up_the_reports(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    mock_cluster.round_trip(60_000)
    reports.produce(*VALUES)
    assert reports.sender.purge_and_close(0) > 0


def test_closing_a_broken_producer_serves_its_reports(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    reports.deliver("before")
    mock_cluster.fail_requests(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    reports.produce("x")
    _poll_until(reports.sender, lambda: reports.sender.fatal is not None)
    assert reports.sender.purge_and_close(HANG_SECONDS) == 0
    assert reports.codes["x"] == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_closing_ends_the_clients_threads(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    before = native_threads()
    sender = make_sender(mock_cluster.bootstrap_servers).sender
    assert native_threads() - before
    sender.purge_and_close(HANG_SECONDS)
    wait_until(lambda: not native_threads() - before)


def test_a_closed_producer_refuses_everything(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    sender = make_sender(mock_cluster.bootstrap_servers).sender
    sender.purge_and_close(5)
    assert sender.purge_and_close(5) == 0
    assert sender.outstanding == 0
    with pytest.raises(SenderLost, match="closed"):
        sender.poll(0)
    with pytest.raises(SenderLost, match="closed"):
        sender.produce("news", b"x")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_cannot_use_its_parents_producer(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers)
    assert _in_child(lambda: _all_refused(reports.sender)) == 0
    assert reports.deliver("still") == [0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_may_have_its_own(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    make_sender(mock_cluster.bootstrap_servers)
    assert _in_child(lambda: make_sender(mock_cluster.bootstrap_servers).deliver("mine") == [0]) == 0


def _suspicion(sender: Sender) -> float:
    _poll_until(sender, lambda: sender.broker_suspect_since is not None)
    assert sender.broker_suspect_since is not None
    return sender.broker_suspect_since


def _all_refused(sender: Sender) -> bool:
    uses: list[Callable[[], object]] = [
        lambda: sender.produce("news", b"x"),
        lambda: sender.poll(0),
        lambda: sender.warm(timeout=1),
    ]
    for use in uses:
        try:
            use()
        except SenderLost as error:
            assert "do not survive a fork" in str(error)
        else:
            return False
    return sender.outstanding == 0


def _in_child(works: Callable[[], bool]) -> int:
    pid = os.fork()
    if pid == 0:
        threading.Timer(HANG_SECONDS, os._exit, [3]).start()
        os._exit(0 if works() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _poll_until(sender: Sender, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        sender.poll(0.02)
