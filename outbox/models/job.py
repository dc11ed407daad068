"""What operators have done to many events, in the background: one row each."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BTreeIndex
from django.db import models
from django.db.models import Q

from outbox.models.functions import ClockTimestamp
from outbox.models.names import TENANT_MAX_LENGTH
from outbox.models.operator_action import ActionSource


class JobVerb(models.TextChoices):
    REPLAY = "replay", "replay"
    DISCARD = "discard", "discard"
    REQUEUE = "requeue", "requeue"


class JobState(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    PAUSED = "paused", "paused"
    CANCELLED = "cancelled", "cancelled"
    DONE = "done", "done"
    FAILED = "failed", "failed"


WAITING = (JobState.QUEUED, JobState.RUNNING)
"""A worker has it, or should."""
STUCK_AFTER = timedelta(seconds=90)
OVER = (JobState.CANCELLED, JobState.DONE, JobState.FAILED)


class JobQuerySet(models.QuerySet["OutboxJob"]):
    def waiting(self) -> Self:
        """Those that a worker has, or should have."""
        return self.filter(state__in=WAITING)

    def over(self) -> Self:
        return self.filter(state__in=OVER)

    def free(self) -> Self:
        """Those that no worker has at present."""
        return self.waiting().filter(Q(lease_until__isnull=True) | Q(lease_until__lt=ClockTimestamp()))

    def stuck(self) -> Self:
        """Those that no worker even looks for: see outbox/workers/jobs.py."""
        return self.free().filter(offered_at__lt=ClockTimestamp() - STUCK_AFTER)

    def failing(self) -> Self:
        """Those whose last slice ended with an error, and those that were given up within a day."""
        given_up = Q(state=JobState.FAILED, finished_at__gt=ClockTimestamp() - timedelta(days=1))
        return self.filter(given_up | Q(state__in=WAITING, failures__gt=0))

    def within(self, tenants: frozenset[str] | None) -> Self:
        """Those that concern none but these tenants; None: all jobs."""
        return self if tenants is None else self.filter(tenants__contained_by=sorted(tenants))


class OutboxJob(models.Model):
    """One change to all events of a filter, in batches, by django-q2. Each batch commits its progress with itself."""

    id = models.BigAutoField(primary_key=True)
    verb = models.CharField(max_length=7, choices=JobVerb)
    filter = models.JSONField(default=dict, help_text="What was asked for, with the newest event that it touches.")
    duplicate_sent = models.BooleanField(
        default=False, db_default=False, help_text="Whether sent events are replayed too, as deliberate duplicates."
    )
    tenants = ArrayField(
        models.CharField(max_length=TENANT_MAX_LENGTH),
        null=True,
        blank=True,
        help_text="The tenants that it is limited to; empty: all.",
    )
    reason = models.TextField()
    requested_by = models.CharField(max_length=255, help_text="A user's name; for commands the account and its host.")
    source = models.CharField(max_length=7, choices=ActionSource)
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From where; empty for commands.")
    rate = models.FloatField(null=True, blank=True, help_text="Most events per second; empty: OUTBOX_JOB_RATE.")
    preview = models.BigIntegerField(
        null=True, blank=True, help_text="Events that matched when it was asked for; empty: not counted."
    )
    preview_more = models.BooleanField(
        default=False, db_default=False, help_text="Whether there were more than were counted."
    )
    state = models.CharField(max_length=9, choices=JobState, default=JobState.QUEUED, db_default=JobState.QUEUED)
    place = models.TextField(blank=True, default="", db_default="", help_text="Behind which event it goes on.")
    done = models.BigIntegerField(default=0, db_default=0, help_text="Events changed.")
    skipped = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        help_text="Events left alone, by status; `changing`: somebody else had them locked.",
    )
    looked_at = models.BigIntegerField(default=0, db_default=0, help_text="Events looked at.")
    waits_for = models.TextField(blank=True, default="", db_default="", help_text="What it is held up by.")
    failures = models.SmallIntegerField(default=0, db_default=0, help_text="Slices in a row that ended with an error.")
    error = models.TextField(blank=True, default="", db_default="", help_text="What went wrong last.")
    created_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    moved_at = models.DateTimeField(null=True, blank=True, help_text="When its last batch was committed.")
    worked_seconds = models.FloatField(
        default=0, db_default=0, help_text="How long workers were at it, without pauses and what it waited for."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    offered_at = models.DateTimeField(
        db_default=ClockTimestamp(), help_text="When django-q2 was last given a task for it."
    )
    lease_until = models.DateTimeField(
        null=True, blank=True, help_text="A worker has it until then, unless it renews; empty: none has it."
    )
    token = models.BigIntegerField(default=0, db_default=0, help_text="Fencing token, one more at each claim.")

    objects = JobQuerySet.as_manager()

    class Meta:
        db_table = "outbox_jobs"
        default_permissions = ("view",)
        constraints = (
            models.CheckConstraint(condition=Q(verb__in=JobVerb.values), name="ck_outbox_job_verb"),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="ck_outbox_job_state"),
            models.CheckConstraint(
                condition=Q(rate__isnull=True) | Q(rate__gte=0.1, rate__lte=1e6), name="ck_outbox_job_rate"
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=False, state__in=OVER)
                | Q(finished_at__isnull=True) & ~Q(state__in=OVER),
                name="ck_outbox_job_over",
            ),
            models.CheckConstraint(
                condition=Q(lease_until__isnull=True) | Q(state=JobState.RUNNING), name="ck_outbox_job_lease"
            ),
            models.CheckConstraint(condition=Q(done__gte=0, looked_at__gte=0), name="ck_outbox_job_counts"),
        )
        # Workers look for those that nobody works on, again and again; pruning for the oldest that are over.
        indexes = (
            BTreeIndex(fields=["offered_at"], name="ix_outbox_job_waiting", condition=Q(state__in=WAITING)),
            BTreeIndex(fields=["finished_at"], name="ix_outbox_job_over", condition=Q(state__in=OVER)),
        )

    def __str__(self) -> str:
        return f"{self.verb} job {self.pk} ({self.state})"

    @property
    def skipped_total(self) -> int:
        return sum(self.skipped.values())
