"""The trace that is active where an event is enqueued, when the application uses OpenTelemetry."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _load_api() -> Any:
    try:
        return import_module("opentelemetry.trace")
    except ImportError:
        return None


_api = _load_api()


def current_traceparent() -> str | None:
    """W3C traceparent of the active span, None without one."""
    if _api is None:
        return None
    context = _api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
