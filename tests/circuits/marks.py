"""How tests of circuits use the database."""

import pytest

# Only what these apps have is emptied between tests, which takes a part of the time. The outbox records decisions.
on_database = pytest.mark.django_db(transaction=True, available_apps=["circuits", "outbox"])
