from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from circuits.events import CircuitState, Override, Phase
from circuits.models.functions import ClockTimestamp
from circuits.names import EVERY_TENANT, NAME_MAX_LENGTH, NAME_PATTERN
from circuits.policy import BOUNDS, MODE_HELP, WHOLE_NUMBERS, Mode

STATES = [(each.value, each.value.replace("_", "-")) for each in Phase]
OVERRIDES = [(each.value, each.value.replace("_", " ")) for each in Override]


def _threshold(name: str) -> Any:
    bounds = BOUNDS[name]
    kind = models.IntegerField if name in WHOLE_NUMBERS else models.FloatField
    lowest = bounds.at_least if bounds.at_least is not None else bounds.above
    return kind(
        null=True,
        blank=True,
        help_text=bounds.help,
        validators=[MinValueValidator(lowest), MaxValueValidator(bounds.at_most)],
    )


def _within_bounds(name: str) -> models.CheckConstraint:
    bounds = BOUNDS[name]
    low = {f"{name}__gt": bounds.above} if bounds.above is not None else {f"{name}__gte": bounds.at_least}
    condition = Q(**{f"{name}__isnull": True}) | Q(**low, **{f"{name}__lte": bounds.at_most})
    return models.CheckConstraint(condition=condition, name=f"ck_circuit_{name}")


class TenantCircuit(models.Model):
    """One tenant's circuit to one dependency. No row: closed, with all thresholds at their defaults.

    Thresholds are written by staff. Everything else is written by circuits themselves: use `circuits.operations`.
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.CharField(
        max_length=NAME_MAX_LENGTH,
        db_collation="C",
        help_text=f"A tenant, or {EVERY_TENANT} for a circuit that all tenants share.",
    )
    name = models.CharField(
        max_length=NAME_MAX_LENGTH, db_collation="C", help_text="The dependency, such as publish or memory."
    )

    # NULL is the default, as for every threshold.
    mode = models.CharField(  # noqa: DJ001
        max_length=16,
        choices=[(each.value, each.value) for each in Mode],
        null=True,
        blank=True,
        help_text=MODE_HELP,
    )
    failure_threshold = _threshold("failure_threshold")
    decay = _threshold("decay")
    failure_rate = _threshold("failure_rate")
    minimum_calls = _threshold("minimum_calls")
    rate_window = _threshold("rate_window")
    slow_call = _threshold("slow_call")
    reset_interval = _threshold("reset_interval")
    max_reset_interval = _threshold("max_reset_interval")
    half_open_probes = _threshold("half_open_probes")
    probe_lease = _threshold("probe_lease")
    stable_time = _threshold("stable_time")

    state = models.CharField(max_length=16, choices=STATES, default=Phase.CLOSED.value, db_default=Phase.CLOSED.value)
    epoch = models.BigIntegerField(
        default=0, db_default=0, help_text="Grows with each change; results of calls of an older epoch are dropped."
    )
    failures = models.IntegerField(default=0, db_default=0, help_text="Failures in a row.")
    last_failure_at = models.DateTimeField(null=True, blank=True)
    trips = models.IntegerField(default=0, db_default=0, help_text="How often it has opened since it was last stable.")
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When it last opened.")
    open_until = models.DateTimeField(null=True, blank=True, help_text="From then on a call is let through as a probe.")
    probe_until = models.DateTimeField(
        null=True, blank=True, help_text="The probe under way is given up for dead then; empty: none is."
    )
    probe_successes = models.IntegerField(default=0, db_default=0, help_text="Probes that succeeded in a row.")
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When it last closed after having been open.")

    override = models.CharField(
        max_length=16,
        choices=OVERRIDES,
        default=Override.AUTO.value,
        db_default=Override.AUTO.value,
        help_text="Whether staff hold the circuit open or closed.",
    )
    override_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    override_reason = models.TextField(blank=True, default="", db_default="")
    override_until = models.DateTimeField(
        null=True, blank=True, help_text="Automatic again from then on; empty: does not end by itself."
    )

    revision = models.BigIntegerField(
        default=0, db_default=0, help_text="One more at each write of what circuits write; guards against lost updates."
    )
    created_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)

    class Meta:
        db_table = "circuits_tenant_circuits"
        ordering = ("tenant_id", "name")
        permissions = (("steer_tenantcircuit", "Can force and reset circuits"),)
        constraints = (
            models.UniqueConstraint(fields=("tenant_id", "name"), name="uq_circuit_tenant_name"),
            models.CheckConstraint(
                condition=Q(tenant_id__regex=NAME_PATTERN) | Q(tenant_id=EVERY_TENANT), name="ck_circuit_tenant"
            ),
            models.CheckConstraint(condition=Q(name__regex=NAME_PATTERN), name="ck_circuit_name"),
            models.CheckConstraint(
                condition=Q(mode__isnull=True) | Q(mode__in=[each.value for each in Mode]), name="ck_circuit_mode"
            ),
            *(_within_bounds(name) for name in BOUNDS if name != "jitter"),
            # NULL makes a CHECK pass: defaults are compared by whoever writes thresholds.
            models.CheckConstraint(
                condition=Q(max_reset_interval__gte=models.F("reset_interval")), name="ck_circuit_intervals"
            ),
            models.CheckConstraint(condition=Q(state__in=[each.value for each in Phase]), name="ck_circuit_state"),
            models.CheckConstraint(
                condition=Q(state=Phase.OPEN.value, open_until__isnull=False)
                | (~Q(state=Phase.OPEN.value) & Q(open_until__isnull=True)),
                name="ck_circuit_open_until",
            ),
            models.CheckConstraint(
                condition=Q(state=Phase.HALF_OPEN.value) | Q(probe_until__isnull=True, probe_successes=0),
                name="ck_circuit_probe",
            ),
            models.CheckConstraint(
                condition=Q(failures__gte=0, trips__gte=0, probe_successes__gte=0, epoch__gte=0),
                name="ck_circuit_counts",
            ),
            models.CheckConstraint(
                condition=Q(override__in=[each.value for each in Override]), name="ck_circuit_override"
            ),
            models.CheckConstraint(
                condition=~Q(override=Override.AUTO.value)
                | Q(override_by="", override_reason="", override_until__isnull=True),
                name="ck_circuit_auto",
            ),
        )
        indexes = (
            # What is in order is not in it: a list of trouble costs as much as there is of it.
            models.Index(
                fields=("name", "tenant_id"),
                name="ix_circuit_trouble",
                condition=~Q(state=Phase.CLOSED.value) | ~Q(override=Override.AUTO.value),
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.name}"

    def as_state(self) -> CircuitState:
        """The row as the state machine sees it."""
        return CircuitState(
            phase=Phase(self.state),
            epoch=self.epoch,
            failures=self.failures,
            last_failure_at=self.last_failure_at,
            trips=self.trips,
            opened_at=self.opened_at,
            open_until=self.open_until,
            probe_until=self.probe_until,
            probe_successes=self.probe_successes,
            closed_at=self.closed_at,
            override=Override(self.override),
            override_by=self.override_by,
            override_reason=self.override_reason,
            override_until=self.override_until,
        )
