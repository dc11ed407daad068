from typing import Any

import pytest
from confluent_kafka import Producer
from pytest_django.fixtures import Settings

from outbox import conf
from outbox.errors import InvalidSetting
from outbox.kafka import config
from outbox.kafka.config import REDACTED, SETTING, client_config, metadata_config, problems, producer_config
from tests.outbox.kafka.conftest import native_threads, wait_until

BROKER = {"bootstrap.servers": "127.0.0.1:9"}


def made(base: dict[str, Any] | None = None, *, isolate: bool = False) -> dict[str, Any]:
    return producer_config(base={**BROKER, **(base or {})}, delivery_timeout=3.0, message_timeout=4.5, isolate=isolate)


def complaints(**given: Any) -> dict[str, str]:
    named = {name.replace("_", "."): value for name, value in given.items()}
    return {problem.name: problem.message for problem in problems({**BROKER, **named})}


def settings_of_a_function() -> dict[str, str]:
    return {"bootstrap.servers": "function:1"}


NOT_A_FUNCTION = "bootstrap.servers"


# what the operator gives


def test_a_dict_is_taken_as_it_is(settings: Settings) -> None:
    settings.OUTBOX_KAFKA_CONFIG = BROKER
    assert client_config() == BROKER


def test_a_path_names_a_function_that_is_called_each_time(settings: Settings) -> None:
    settings.OUTBOX_KAFKA_CONFIG = f"{__name__}.settings_of_a_function"
    assert client_config() == {"bootstrap.servers": "function:1"}
    assert client_config() is not client_config()


def test_other_names_of_a_setting_are_understood(settings: Settings) -> None:
    settings.OUTBOX_KAFKA_CONFIG = {**BROKER, "request.required.acks": "all", "delivery.timeout.ms": "4000"}
    assert client_config() == {**BROKER, "acks": "all", "message.timeout.ms": "4000"}


def test_the_log_level_can_come_from_the_environment(settings: Settings) -> None:
    settings.OUTBOX_KAFKA_CONFIG = {**BROKER, "log.level": "3"}
    assert client_config() == {**BROKER, "log_level": "3"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "must name at least bootstrap.servers"),
        ("nowhere.to_be_found", "cannot be imported"),
        (f"{__name__}.NOT_A_FUNCTION", "must be the path of a function"),
        (["bootstrap.servers"], "must be a dict"),
    ],
)
def test_anything_else_is_refused(settings: Settings, given: Any, reason: str) -> None:
    settings.OUTBOX_KAFKA_CONFIG = given
    with pytest.raises(InvalidSetting, match=reason):
        client_config()


# what a producer gets


def test_delivery_is_acknowledged_by_all_and_idempotent() -> None:
    assert made()["acks"] == "all"
    assert made()["enable.idempotence"] is True


def test_librdkafka_takes_it() -> None:
    Producer({**made(), "log_level": 0}).close()
    Producer({**made(isolate=True), "log_level": 0}).close()


def test_the_message_timeout_is_ours() -> None:
    assert made()["message.timeout.ms"] == 4_500


def test_the_operator_may_change_what_guarantees_nothing() -> None:
    changed = {"linger.ms": "5", "compression.type": "zstd", "message.timeout.ms": "4000", "client.id": "me"}
    assert changed.items() <= made(changed).items()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("message.timeout.ms", "3000"),
        ("delivery.timeout.ms", "600000"),
        ("linger.ms", "3000"),
        ("queue.buffering.max.ms", "99999"),
        ("message.max.bytes", "1000"),
        ("transactional.id", "6"),
        ("test.mock.num.brokers", "6"),
        ("max.in.flight", "6"),
        ("enable.gapless.guarantee", "true"),
    ],
)
def test_the_operator_cannot_change_a_guarantee(name: str, value: str) -> None:
    """Settings that a function finds at run time have passed no system check."""
    with pytest.raises(InvalidSetting, match=rf"='{value}': must "):
        made({name: value})


def test_an_accepted_event_fits_into_a_message(settings: Settings) -> None:
    settings.OUTBOX_MAX_MESSAGE_BYTES = 2_000_000
    assert made()["message.max.bytes"] > 2_000_000


def test_two_of_the_largest_rounds_fit_into_the_queue(settings: Settings) -> None:
    settings.OUTBOX_BATCH_SIZE = 50_000
    assert made()["queue.buffering.max.messages"] >= 2 * 50_000
    assert made()["queue.buffering.max.kbytes"] * 1024 >= 2 * conf.get().batch_bytes


def test_an_isolated_message_has_a_batch_of_its_own() -> None:
    assert made(isolate=True) == {**made(), "batch.num.messages": 1}


def test_a_metadata_client_takes_the_way_to_the_broker_and_no_more() -> None:
    given = {"bootstrap.servers": "a:1", "sasl.password": "s", "acks": "all", "enable.idempotence": "true"}
    made = metadata_config(base={**given, "transactional.id": "x", "linger.ms": "5"})
    assert {"bootstrap.servers": "a:1", "sasl.password": "s"}.items() <= made.items()
    assert not made.keys() & {"enable.idempotence", "transactional.id", "linger.ms"}
    Producer({**made, "log_level": 0}).close()


# what is wrong with it


def test_good_settings_have_no_problem() -> None:
    assert complaints() == {}
    assert complaints(acks="-1", enable_idempotence="True", linger_ms="5", compression_type="lz4") == {}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("acks", "1", "must be all"),
        ("request.required.acks", 0, "must be all"),
        ("enable.idempotence", False, "must be true"),
        ("max.in.flight", "6", "must be at most 5"),
        ("max.in.flight.requests.per.connection", 6, "must be at most 5"),
        ("enable.gapless.guarantee", "true", "must be false"),
        ("delivery.report.only.error", "1", "must be false"),
        ("partitioner", "random", "must not be random"),
        ("message.timeout.ms", "3000", "must be above OUTBOX_DELIVERY_TIMEOUT_SECONDS=3.0"),
        ("delivery.timeout.ms", 5_001, "at most OUTBOX_LEASE_SECONDS=5.0"),
        ("message.timeout.ms", 0, "must be above"),
        ("message.timeout.ms", "soon", "must be above"),
        ("linger.ms", 3_000, "must be below OUTBOX_DELIVERY_TIMEOUT_SECONDS=3.0"),
        ("message.max.bytes", 900_000, "OUTBOX_MAX_MESSAGE_BYTES accepts events that need as much"),
        ("transactional.id", "me", "must not be set"),
        ("test.mock.num.brokers", 1, "must not be set"),
        ("bootstrap.servers", "", "must name a broker"),
        ("compression.type", "zip", "librdkafka: Invalid value"),
        ("linger.ms", "soon", "librdkafka: Invalid value"),
        ("no.such.setting", "1", "librdkafka: No such configuration property"),
        ("retries", 0, "librdkafka: Failed to create producer: `retries` must be set >= 1"),
        ("error_cb", "not a function", "librdkafka: "),
    ],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: Any, complaint: str) -> None:
    found = problems({**BROKER, name: value})
    assert [config._ALIASES.get(name, name)] == [problem.name for problem in found]
    assert complaint in found[0].message
    assert found[0].value == (REDACTED if name == "no.such.setting" else str(value))


def test_every_problem_is_named() -> None:
    assert complaints(acks="1", no_such_setting="1", another_one="2").keys() == {
        "acks",
        "no.such.setting",
        "another.one",
    }


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    assert complaints(security_protocol="ssl", ssl_ca_location="/no/such/file").keys() == {"ssl.ca.location"}


def test_a_contradiction_that_names_no_setting_is_one_of_the_whole() -> None:
    assert complaints(security_protocol="sasl_plaintext", sasl_mechanism="PLAIN").keys() == {SETTING}


@pytest.mark.parametrize("name", ["ssl.key.password", "sasl.password", "sasl.oauthbearer.client.secret"])
def test_secrets_are_blacked_out(name: str) -> None:
    found = problems({**BROKER, name: "hunter2", "sasl.pasword": "hunter2", "acks": "hunter2"})
    assert "hunter2" not in repr(found)
    assert REDACTED in repr(found)


def test_a_private_key_is_blacked_out() -> None:
    found = problems({**BROKER, "security.protocol": "ssl", "ssl.key.pem": "hunter2"})
    assert [(problem.name, problem.value) for problem in found] == [("ssl.key.pem", REDACTED)]


def test_the_check_leaves_nothing_behind() -> None:
    before = native_threads()
    complaints(compression_type="lz4")
    wait_until(lambda: not native_threads() - before)
