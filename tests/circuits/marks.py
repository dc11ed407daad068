"""How tests of circuits use the database."""

import pytest

# Only the tables of circuits are emptied between tests, which takes a tenth of the time.
on_database = pytest.mark.django_db(transaction=True, available_apps=["circuits"])
