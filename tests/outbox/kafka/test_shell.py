"""A line for a shell sends what a relay would send."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outbox.kafka import shell

# What shells, JSON and printf would take for their own.
NASTY = 'it\'s $HOME `id` "q" \\n %s ; & | < > é \u2028'


def sent(**changes: Any) -> shell.Message:
    values: dict[str, Any] = {
        "event_id": 17,
        "tenant_id": "acme",
        "topic": "orders",
        "partition_key": "k",
        "dedupe_key": "order-17",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "attempts": 2,
        "headers": {"source": "shop"},
        "payload": {"n": 1},
    }
    return shell.message(**{**values, **changes})


def run(line: str, tmp_path: Path, program: str) -> tuple[list[str], str]:
    """The arguments and the input that the program is given by a real shell."""
    stub = tmp_path / program
    stub.write_text('#!/bin/sh\nfor each in "$@"; do printf "%s\\0" "$each"; done > "$OUT.args"\ncat > "$OUT.in"\n')
    stub.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "OUT": str(tmp_path / "out"),
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
        "KAFKA_REST_URL": "http://rest/v3/clusters/x",
    }
    subprocess.run(["/bin/sh", "-c", line], env=environment, check=True, timeout=60)
    arguments = (tmp_path / "out.args").read_text().split("\0")[:-1]
    return arguments, (tmp_path / "out.in").read_text()


def test_the_message_is_the_one_that_a_relay_sends() -> None:
    found = sent()
    assert (found.topic, found.key, found.value) == ("orders", "acme:k", '{"n":1}')
    assert dict(found.headers) == {
        "tenant-id": "acme",
        "dedupe-key": "order-17",
        "event-id": "17",
        "event-created-at": "1767225600000000",
        "attempt": "3",
        "content-type": "application/json",
        "source": "shop",
    }
    assert sent(partition_key="").key == "acme:order-17"


@pytest.mark.parametrize("text", ["plain", NASTY, "-rf", "'", "''", "%d\n"])
def test_kcat_is_given_everything_as_it_is(tmp_path: Path, text: str) -> None:
    payload = {"text": text}
    arguments, value = run(shell.kcat(sent(payload=payload, partition_key=text, headers={"h": text})), tmp_path, "kcat")
    assert json.loads(value) == payload
    assert "\n" not in value
    assert arguments[:7] == ["-P", "-b", "kafka:9092", "-t", "orders", "-k", f"acme:{text}"]
    assert arguments[-2:] == ["-H", f"h={text}"]
    assert arguments.count("-H") == 7


@pytest.mark.parametrize("text", ["plain", NASTY, "'", "%d"])
def test_curl_is_given_everything_as_it_is(tmp_path: Path, text: str) -> None:
    payload = {"text": text, "exact": 12345678901234567890}
    arguments, body = run(shell.curl(sent(payload=payload, partition_key=text, headers={"h": text})), tmp_path, "curl")
    record = json.loads(body)
    assert record["value"] == {"type": "JSON", "data": payload}
    assert record["key"] == {"type": "STRING", "data": f"acme:{text}"}
    assert base64.b64decode(record["headers"][-1]["value"]).decode() == text
    assert arguments[-1] == "http://rest/v3/clusters/x/topics/orders/records"


def test_a_large_payload_meets_no_limit_on_arguments(tmp_path: Path) -> None:
    payload = {"text": "x" * 900_000}
    line = tmp_path / "line.sh"
    line.write_text(shell.kcat(sent(payload=payload)))
    _, value = run(f". {shlex.quote(str(line))}", tmp_path, "kcat")
    assert json.loads(value) == payload


def test_headers_that_are_no_object_are_left_out() -> None:
    assert len(sent(headers=[1]).headers) == 6
