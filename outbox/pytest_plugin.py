"""The pytest plugin: loaded by pytest itself wherever the wheel is installed, before Django is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from outbox.testing.assertions import Recorder


@pytest.fixture
def outbox(db: None) -> Recorder:
    """What the test enqueues: `outbox.assert_enqueued(topic=..., payload=...)`, `outbox.events`, `outbox.clear()`.

    Needs pytest-django. Works in the test's transaction, and with `transactional_db` or `django_db(transaction=True)`.
    If the outbox is in another database than the default one, mark the test with `django_db(databases=[...])`.
    """
    from outbox.testing.assertions import Recorder

    return Recorder()
