from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest
from confluent_kafka import KafkaError, Producer

from tests.somabrain.embedded.conftest import Checkout
from tests.support.waiting import wait_until

FIND = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "somabrain.settings"
os.environ["KAFKA_LINGER_MS"] = "7"
import json
from somabrain.embedded import broker
print(json.dumps(broker.client_config()))
"""


BELIEVE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "somabrain.settings"
from somabrain.embedded import broker, locks
held = locks.take(broker._RUNNING)
print(broker.running())
"""


def start(checkout: Checkout) -> tuple[subprocess.Popen[str], str]:
    """A mock broker, and its first words."""
    broker = checkout.start("manage.py", "mock_broker")
    assert broker.stdout is not None
    words = broker.stdout.readline()
    assert words, broker.communicate()
    return broker, words


def test_others_find_the_broker_and_can_use_it(checkout: Checkout) -> None:
    _, words = start(checkout)
    assert "forgets everything when it stops" in words
    config = json.loads(checkout.run("-c", FIND).stdout)
    assert config["bootstrap.servers"] in words
    assert config["linger.ms"] == "7"
    producer = Producer(config)
    producer.produce("news", b"x")
    assert producer.flush(30) == 0


def test_a_topic_is_refused_for_a_while(checkout: Checkout) -> None:
    broker = checkout.start("manage.py", "mock_broker", "--refuse", "closed", "--refuse-seconds", "5")
    assert broker.stdout is not None
    address = re.search(r"127\.0\.0\.1:\d+", broker.stdout.readline())
    assert address is not None
    producer = Producer({"bootstrap.servers": address[0]})

    def code(topic: str) -> int:
        error = producer.list_topics(topic, timeout=30).topics[topic].error
        return 0 if error is None else error.code()

    assert (code("news"), code("closed")) == (0, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    wait_until(lambda: code("closed") == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(checkout: Checkout, number: int) -> None:
    broker, _ = start(checkout)
    broker.send_signal(number)
    _, errors = broker.communicate(timeout=60)
    assert (broker.returncode, errors) == (0, "")
    assert not (checkout.path / ".cache/broker/notice.json").exists()


def test_without_a_broker_the_error_says_how_to_start_one(checkout: Checkout) -> None:
    errors = checkout.run("-c", FIND).stderr
    assert "start one with `manage.py mock_broker`" in errors


def test_the_address_of_a_killed_broker_is_not_believed(checkout: Checkout) -> None:
    broker, _ = start(checkout)
    broker.kill()
    broker.communicate()
    assert (checkout.path / ".cache/broker/notice.json").exists()
    assert "No broker runs" in checkout.run("-c", FIND).stderr
    assert checkout.run("-c", BELIEVE).stdout == "None\n", "nor while the next one starts"
    _, words = start(checkout)
    assert json.loads(checkout.run("-c", FIND).stdout)["bootstrap.servers"] in words


def test_a_checkout_has_one_broker(checkout: Checkout) -> None:
    first, words = start(checkout)
    refused = checkout.run("manage.py", "mock_broker")
    assert refused.returncode == 1
    assert f"(process {first.pid})" in refused.stderr
    assert json.loads(checkout.run("-c", FIND).stdout)["bootstrap.servers"] in words


def test_clean_stops_the_broker(checkout: Checkout) -> None:
    broker, _ = start(checkout)
    assert checkout.run("-m", "somabrain.embedded.clean").returncode == 0
    assert broker.wait(60) == 0


def test_whoever_starts_beside_the_broker_may_wait_for_it(checkout: Checkout) -> None:
    patient = checkout.start("-c", FIND.replace("client_config()", "bootstrap_servers(patience=60)"))
    _, words = start(checkout)
    found, _ = patient.communicate(timeout=60)
    assert json.loads(found) in words
