from outbox.pytest_plugin import outbox

__all__ = ["outbox"]
