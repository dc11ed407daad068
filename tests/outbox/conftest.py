from tests.outbox.relay.conftest import tables

__all__ = ["tables"]
