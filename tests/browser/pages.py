"""Every page of ours, by name, and where it is with the data of the scene."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from circuits.models import StaffTenantScope, TenantCircuit
from outbox.models import EventStatus, JobState, OutboxEvent, OutboxJob
from tests.browser import scene

Where = Callable[[], str]

_OURS = ("outbox", "circuits", "somabrain")
_MODELS = sorted(model._meta.label_lower for model in admin.site._registry if model._meta.app_label in _OURS)


def _list(label: str) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_changelist")


def _first(label: str) -> str:
    row = apps.get_model(label)._default_manager.order_by("pk").only("pk").first()
    assert row is not None, f"the scene has no {label}"
    return reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk])


def _of_event(status: str) -> str:
    event = OutboxEvent.objects.filter(status=status).only("pk").earliest("pk")
    return reverse("admin:outbox_outboxevent_change", args=[event.pk])


def _reveal() -> str:
    return reverse("admin:outbox_outboxevent_reveal", args=[OutboxEvent.objects.only("pk").earliest("pk").pk])


def _dead_letter() -> OutboxEvent:
    return OutboxEvent.objects.failed().only("pk").earliest("pk")


def _of_dead_letter(verb: str) -> str:
    return f"{reverse('admin:outbox_event_decide', args=[verb])}?ids={_dead_letter().pk}"


def _job(state: str) -> OutboxJob:
    return OutboxJob.objects.filter(state=state).latest("pk")


def _of_circuit(verb: str = "") -> str:
    circuit = TenantCircuit.objects.get(tenant_id=scene.LOCKED_OUT)
    page = "circuits_tenantcircuit_decide" if verb else "circuits_tenantcircuit_change"
    return reverse(f"admin:{page}", args=[circuit.pk, verb] if verb else [circuit.pk])


PAGES: dict[str, Where] = {
    "index": lambda: reverse("admin:index"),
    **{f"list of {label}": partial(_list, label) for label in _MODELS},
    **{f"one {label}": partial(_first, label) for label in _MODELS},
    "empty list": lambda: f"{_list('outbox.outboxevent')}?tenant=nobody",
    "list asked for wrongly": lambda: f"{_list('outbox.outboxevent')}?tenant=a:b&dedupe_key=x&nonsense=1",
    "list that looked back": lambda: f"{_list('outbox.outboxevent')}?tenant={scene.NOISY}&partition_key=nothing",
    "reveal": _reveal,
    "dead letters": lambda: f"{_list('outbox.outboxevent')}?status__exact=failed",
    "event sent": lambda: _of_event(EventStatus.SENT),
    "event failed": lambda: _of_event(EventStatus.FAILED),
    "overview of a day": lambda: f"{reverse('admin:outbox_overview_changelist')}?span=24h",
    "tenant in trouble": lambda: reverse("admin:outbox_tenant_change", args=[scene.LOCKED_OUT]),
    "tenant paused": lambda: reverse("admin:outbox_tenant_change", args=[scene.PAUSED]),
    "tenant unknown": lambda: reverse("admin:outbox_tenant_change", args=["nobody"]),
    "dead letters in groups": lambda: reverse("admin:outbox_dead_letters"),
    "start of a job": lambda: f"{reverse('admin:outbox_job_start', args=['replay'])}?status__exact=failed",
    "running job": lambda: reverse("admin:outbox_outboxjob_change", args=[_job(JobState.RUNNING).pk]),
    "job that is over": lambda: reverse("admin:outbox_outboxjob_change", args=[_job(JobState.DONE).pk]),
    "cancel a job": lambda: reverse("admin:outbox_job_move", args=[_job(JobState.RUNNING).pk, "cancel"]),
    "replay": lambda: _of_dead_letter("replay"),
    "discard": lambda: _of_dead_letter("discard"),
    "requeue": lambda: _of_dead_letter("requeue"),
    "discard all of the wrong status": lambda: (
        f"{reverse('admin:outbox_job_start', args=['discard'])}?status__exact=sent"
    ),
    "pause": lambda: f"{reverse('admin:outbox_policy_decide', args=['pause'])}?tenant={scene.NOISY}",
    "pause everyone": lambda: f"{reverse('admin:outbox_policy_decide', args=['pause'])}?tenant=*",
    "resume": lambda: f"{reverse('admin:outbox_policy_decide', args=['resume'])}?tenant={scene.PAUSED}",
    "new policy": lambda: reverse("admin:outbox_tenantpolicy_add"),
    "open circuit": _of_circuit,
    "force open": lambda: _of_circuit("force_open"),
    "reset": lambda: _of_circuit("reset"),
    "force one that never failed": lambda: (
        f"{reverse('admin:circuits_tenantcircuit_decide_named', args=['force_open'])}?tenant={scene.NOISY}&name=new"
    ),
    "new circuit": lambda: reverse("admin:circuits_tenantcircuit_add"),
}


def _circuits(**form: Any) -> tuple[str, dict[str, Any]]:
    """The list of circuits, sent with all of them selected."""
    selected = [str(pk) for pk in TenantCircuit.objects.order_by("pk").values_list("pk", flat=True)]
    return _list("circuits.tenantcircuit"), {"_selected_action": selected, "index": "0", **form}


def _edited_circuit() -> tuple[str, dict[str, Any]]:
    circuit = TenantCircuit.objects.get(tenant_id=scene.LOCKED_OUT)
    rows = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(circuit.pk)}
    return _list("circuits.tenantcircuit"), {**rows, "form-0-failure_threshold": "2", "_save": "Save"}


def _last_limit(verb: str) -> str:
    limit = StaffTenantScope.objects.latest("pk")
    return reverse(f"admin:circuits_stafftenantscope_{verb}", args=[limit.pk])


ASKED_FOR: dict[str, Where] = {
    "new limit": lambda: reverse("admin:circuits_stafftenantscope_add"),
    "delete a limit": lambda: _last_limit("delete"),
    "delete a policy": lambda: reverse("admin:outbox_tenantpolicy_delete", args=[scene.NOISY]),
}
"""Pages that are built like others: looked at once."""

SENT: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "revealed event": lambda: (_reveal(), {"reason": "a look at the page"}),
    "reveal without a reason": lambda: (_reveal(), {"reason": ""}),
    "pause without a reason": lambda: (
        reverse("admin:outbox_policy_decide", args=["pause"]),
        {"tenant": [scene.NOISY], "reason": "", "until": "2020-01-01T00:00"},
    ),
    "several circuits": lambda: _circuits(action="force_open"),
    "thresholds of several circuits": lambda: _circuits(action="set_thresholds"),
    "impossible thresholds": lambda: _circuits(
        action="set_thresholds", confirmed="yes", reason="", failure_threshold="0", decay="x"
    ),
    "thresholds edited in the list": _edited_circuit,
    "policy to be confirmed": lambda: (
        reverse("admin:outbox_tenantpolicy_add"),
        {"tenant_id": "a-new-one", "weight": "2", "rate": "1500", "reason": "a look at the page"},
    ),
    "policy without a reason": lambda: (reverse("admin:outbox_tenantpolicy_add"), {"tenant_id": "a:b", "weight": "0"}),
}
"""Pages that answer a form: its address, and what is sent. Nothing of it changes what other pages show."""
