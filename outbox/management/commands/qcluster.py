"""django-q2's command, with a relay in every worker."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError
from django_q.cluster import Cluster
from django_q.management.commands import qcluster

from outbox.management.stop_signals import StopSignals
from outbox.workers.cluster import ClusterFailed, run


class Command(qcluster.Command):  # type: ignore[misc]  # django-q2 has no types
    help = (
        "Runs a django-q2 cluster whose workers publish the outbox. SIGTERM and SIGINT end it in order, a second one "
        "kills the task queue; relays drain either way."
    )

    def handle(self, *args: Any, run_once: bool = False, cluster_name: str | None = None, **options: Any) -> None:
        if cluster_name:
            os.environ["Q_CLUSTER_NAME"] = cluster_name
        cluster = Cluster()
        # After the cluster, which brings handlers of its own: they wait for the sentinel, alive or not.
        with StopSignals() as signals:
            try:
                run(cluster=cluster, asked=lambda: signals.count or int(run_once))
            except ClusterFailed as error:
                raise CommandError(str(error)) from error
