"""For `DATABASE_ROUTERS`, where the circuits are not in the default database."""

from circuits import conf
from circuits.placement import AppRouter


class CircuitsRouter(AppRouter):
    """The tables of circuits are in `CIRCUITS_DATABASE` and in no other one, but staff's scopes are with the users.

    So the admin finds them, and `migrate --database` makes them there alone.
    """

    app = "circuits"
    with_users = frozenset({"stafftenantscope"})

    def database(self) -> str:
        return conf.get().database
