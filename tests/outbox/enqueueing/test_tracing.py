"""The trace of an application with OpenTelemetry is shown with `enqueue`; here is one without."""

from __future__ import annotations

import sys

import pytest

from outbox.enqueueing import tracing


def test_without_opentelemetry_there_is_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    monkeypatch.setattr(tracing, "_api", tracing._load_api())
    assert tracing.current_traceparent() is None
