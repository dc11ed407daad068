"""Whether django-q2's queue moves. Publishing does not depend on it; replays and the application's tasks do."""

from __future__ import annotations

from datetime import timedelta

from django.db import connections, transaction
from django.db.models import Min
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from circuits.timeouts import lower_statement_timeout

STATEMENT_TIMEOUT = timedelta(seconds=2)


def longest_wait() -> timedelta | None:
    """For how long the oldest task that is due has not been taken by any cluster; None when none waits.

    Also counts a task that was taken and not done within django-q2's `retry`. Asks the database, from any process.
    Raises Django's `OperationalError` when it does not answer within two seconds.
    """
    now = timezone.now()
    with transaction.atomic(using=Conf.ORM):
        lower_statement_timeout(connections[Conf.ORM], milliseconds=STATEMENT_TIMEOUT // timedelta(milliseconds=1))
        due = OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lt=now)
        since = due.aggregate(since=Min("lock"))["since"]
    return None if since is None else now - since
