"""For `DATABASE_ROUTERS`, where the outbox is not in the default database."""

from circuits.placement import AppRouter
from outbox import conf


class OutboxRouter(AppRouter):
    """The outbox's tables are in `OUTBOX_DATABASE` and in no other one.

    So the admin finds them, and `migrate --database` makes them there alone.
    """

    app = "outbox"

    def database(self) -> str:
        return conf.get().database
