"""For tests of applications: what has been enqueued. Needs neither pytest nor a broker.

    assert_enqueued(topic="orders", tenant_id="acme", payload={"id": order.pk})

Under pytest-django the fixture `outbox` has the same function; under Django's `TestCase`, `OutboxAssertions` has it.
"""

from outbox.testing.assertions import OutboxAssertions, Recorder, assert_enqueued, enqueued_events
from outbox.testing.matching import ANY, EnqueuedEvent

__all__ = ["ANY", "EnqueuedEvent", "OutboxAssertions", "Recorder", "assert_enqueued", "enqueued_events"]
