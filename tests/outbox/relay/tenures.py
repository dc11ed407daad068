"""A tenure of the test's own, and the steps of one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from outbox import sql
from outbox.relay.lanes import Lane
from outbox.relay.session import Connection, query
from outbox.relay.tenure import AHEAD_QUANTA, Tenure

if TYPE_CHECKING:
    from tests.outbox.relay.conftest import Tables

ME, SOMEBODY_ELSE = uuid.uuid4(), uuid.uuid4()
QUANTUM = 4
LEEWAY = AHEAD_QUANTA * QUANTUM


def make_tenure(session: Connection, relay_id: uuid.UUID = ME) -> Tenure:
    """One whose clock stands still with the database's, at the moment it is made."""
    (db_now,) = query(session, "SELECT clock_timestamp()")[0]
    return Tenure(connection=session, relay_id=relay_id, db_now=lambda now: int(db_now + now * 1e6))


def claim(by: Tenure, *names: str, limit: int = 100, now: float = 0.0) -> list[str]:
    by.offer(names, now=now)
    return sorted(each.tenant for each in by.claim(list(names), limit=limit, now=now))


def renew(by: Tenure, session: Connection, *, now: float = 0.0) -> list[str]:
    job = by.renewal(now)
    job.run(session, ME)
    return [each.tenant for each in by.renewed(job, now)]


def claim_with_backlog(by: Tenure, *names: str) -> None:
    claim(by, *names)
    for name in names:
        by.lanes[name].counted = True


def promote(tables: Tables) -> None:
    """What is due becomes pending, as whichever relay comes to it does."""
    assert tables.execute(sql.load("promote"), limit=100, patient=True, without=[])


def put_lane(tables: Tables, tenant: str = "acme", **columns: Any) -> None:
    names = ["tenant_id", *columns]
    places = ", ".join(f"%({name})s" for name in names)
    tables.execute(
        f"INSERT INTO outbox_lanes ({', '.join(names)}) VALUES ({places})",  # noqa: S608
        tenant_id=tenant,
        **columns,
    )


def leavers(tenure: Tenure, *, now: float = 0.5) -> list[str]:
    tenure.choose_leavers(now)
    return sorted(name for name, held in tenure.lanes.items() if held.leaving)


def hold(tenure: Tenure, *lanes: Lane) -> None:
    tenure.lanes = {each.tenant: each for each in lanes}
