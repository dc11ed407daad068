"""How tests of the memory use the database."""

import pytest

# Only what these apps have is emptied between tests, which takes a part of the time.
on_database = pytest.mark.django_db(transaction=True, available_apps=["circuits", "outbox", "somabrain"])
