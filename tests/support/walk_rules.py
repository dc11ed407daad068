"""What each address of the admin is for: who may see it, what it changes, and with which rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from circuits.admin.decisions import DECISIONS as CIRCUIT_DECISIONS
from circuits.admin.decisions import WITHOUT_ROW
from circuits.policy import THRESHOLDS
from outbox.admin.decisions import DECISIONS as EVENT_DECISIONS
from outbox.operations.jobs.states import OPERATORS
from tests.support.walk_rows import Rows

Form = Callable[[Rows], dict[str, Any]]
NOBODY = ("nobody, not even superusers",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A POST that changes something, for whoever has these rights beside those to see the page."""

    form: Form
    needs: tuple[str, ...] = ()
    effect: bool = True
    """False: it only asks whether that is meant, or is refused to all."""
    asks: bool = False
    """It changes nothing by itself, but leads to a page that does, once it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    see: tuple[str, ...] = ()
    """All of these rights; none: every member of staff."""
    found: frozenset[int] = frozenset({200})
    hidden: bool = False
    """Rows of no tenant: they do not exist for staff who are limited to some."""
    stock: bool = False
    """Django's own page, that leads to the index where ours answer 404."""
    asked: tuple[Form, ...] = (lambda rows: {},)
    """What to ask of it by GET; the first goes with every POST."""
    writes: tuple[Write, ...] = ()


VERBS: Mapping[str, tuple[str, ...]] = {
    "outbox_event_decide": tuple(EVENT_DECISIONS),
    "outbox_job_start": tuple(EVENT_DECISIONS),
    "outbox_job_move": tuple(each.value for each in OPERATORS),
    "outbox_policy_decide": ("pause", "resume"),
    "circuits_tenantcircuit_decide": tuple(CIRCUIT_DECISIONS),
    "circuits_tenantcircuit_decide_named": WITHOUT_ROW,
    "app_list": ("outbox", "circuits", "somabrain", "auth", "django_q"),
}
"""What may stand in an address beside what names a row. A rule's name is that of the address, with this behind it."""

ROWS = {"outbox_event_decide:requeue": "retry", "outbox_job_move:resume": "paused job"}
"""Rows other than the first of the model."""

SEE_EVENTS, SEE_POLICIES, SEE_JOBS = "outbox.view_outboxevent", "outbox.view_tenantpolicy", "outbox.view_outboxjob"
SEE_CIRCUITS, STEER, SET = (
    "circuits.view_tenantcircuit",
    "circuits.steer_tenantcircuit",
    "circuits.change_tenantcircuit",
)
PAUSE, OVERVIEW = "outbox.pause_tenantpolicy", "outbox.view_tenantbacklog"
WHY = {"reason": "a walk"}


def _deleting(label: str) -> Form:
    """The action of Django's lists, confirmed."""
    return lambda rows: {"action": "delete_selected", "_selected_action": [rows.keys[label]], "post": "yes"}


def _model(
    label: str, *, add: tuple[Write, ...] = (), change: tuple[Write, ...] = (), delete: tuple[Write, ...] = (),
    listed: tuple[Write, ...] = (), view: str = "", asked: tuple[Form, ...] = (), **rest: Any,
) -> Iterator[tuple[str, Rule]]:  # fmt: skip
    """The pages of a model; what is not said to be written by anybody is written by nobody."""
    app, name = label.split(".")

    def right(verb: str, writes: tuple[Write, ...]) -> tuple[str, ...]:
        return (f"{app}.{verb}_{name}",) if writes else NOBODY

    see = (view or f"{app}.view_{name}",)
    searched: Form = lambda rows: {"q": rows.tenant}  # noqa: E731
    by_column: Form = lambda rows: {"tenant_id__startswith": rows.tenant[:-1]}  # noqa: E731
    probe = Write(form=_deleting(label), effect=False) if "stock" not in rest else None
    lists = Rule(see=see, asked=(lambda rows: {}, searched, by_column, *asked), found=frozenset({200, 302}), **rest)
    yield f"{app}_{name}_changelist", replace(lists, writes=(*listed, *((probe,) if probe else ())))
    yield f"{app}_{name}_add", Rule(see=right("add", add), writes=add, stock=True, **_only_hidden(rest))
    yield f"{app}_{name}_change", Rule(see=see, writes=change, **rest)
    yield f"{app}_{name}_delete", Rule(see=right("delete", delete), writes=delete, **rest)
    yield f"{app}_{name}_history", Rule(see=see, **rest)
    yield f"{app}/{name}/<path:object_id>/", Rule(found=frozenset({302}), stock=True)


def _only_hidden(rest: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden": rest.get("hidden", False)}


def _stock(label: str) -> Iterator[tuple[str, Rule]]:
    """Of Django: what only superusers, or whoever they let, look at and change."""
    app, name = label.split(".")
    delete = (Write(form=lambda rows: {"post": "yes"}),)
    listed = (Write(form=_deleting(label), needs=(f"{app}.delete_{name}",)),)
    add = (Write(form=lambda rows: {}, effect=False),)
    return _model(label, add=add, delete=delete, listed=listed, stock=True)


def _resubmitted(label: str) -> Write:
    """The action of django-q2's own pages, which asks nobody for a right or a reason: here it is none."""
    return Write(form=lambda rows: {"action": "resubmit_task", "_selected_action": [rows.keys[label]]}, effect=False)


def _event_decisions() -> Iterator[tuple[str, Rule]]:
    for verb, decision in EVENT_DECISIONS.items():
        row = "retry" if verb == "requeue" else "outbox.outboxevent"
        named: Form = lambda rows, row=row: {"ids": str(rows.keys[row])}  # type: ignore[misc]  # noqa: E731
        write = Write(form=lambda rows, named=named: {**named(rows), **WHY})  # type: ignore[misc]
        see = (SEE_EVENTS, decision.permission)
        yield f"outbox_event_decide:{verb}", Rule(see=see, asked=(named,), writes=(write,))
        status = "scheduled" if verb == "requeue" else "failed"
        of_list: Form = lambda rows, status=status: {"tenant": rows.tenant, "status__exact": status}  # type: ignore[misc]  # noqa: E731
        start = Write(form=lambda rows: {**WHY, "up_to_id": "900000000", "counted": "1"})
        yield f"outbox_job_start:{verb}", Rule(see=see, asked=(of_list,), writes=(start,))


def _circuit_decisions() -> Iterator[tuple[str, Rule]]:
    for verb, decision in CIRCUIT_DECISIONS.items():
        extra = {"failure_threshold": "9"} if verb == "set_thresholds" else {}
        write = Write(form=lambda rows, extra=extra: {**WHY, **extra})  # type: ignore[misc]
        see = (SEE_CIRCUITS, decision.permission)
        yield f"circuits_tenantcircuit_decide:{verb}", Rule(see=see, writes=(write,))
        if verb in WITHOUT_ROW:
            named: Form = lambda rows: {"tenant": rows.tenant, "name": "publish"}  # noqa: E731
            yield f"circuits_tenantcircuit_decide_named:{verb}", Rule(see=see, asked=(named,), writes=(write,))


def _circuit_list() -> Iterator[Write]:
    for verb, decision in CIRCUIT_DECISIONS.items():
        extra = {"failure_threshold": "9"} if verb == "set_thresholds" else {}
        yield Write(
            needs=(decision.permission,),
            form=lambda rows, verb=verb, extra=extra: {  # type: ignore[misc]
                "action": verb,
                "_selected_action": [rows.keys["circuits.tenantcircuit"]],
                "confirmed": "1",
                **WHY,
                **extra,
            },
        )
    yield Write(form=_edited_in_list, effect=False)
    yield Write(needs=(SET,), form=lambda rows: {**_edited_in_list(rows), "edits_confirmed": "yes", **WHY})


def _edited_in_list(rows: Rows) -> dict[str, Any]:
    """As the list with that circuit alone would be sent."""
    edited = dict.fromkeys(("reset_interval", "max_reset_interval", "half_open_probes"), "")
    row = {"id": rows.keys["circuits.tenantcircuit"], "failure_threshold": "9", **edited}
    head = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}
    return {**head, **{f"form-0-{name}": value for name, value in row.items()}}


def _limit(rows: Rows) -> dict[str, Any]:
    return {"user": rows.keys["auth.user"], "tenant_id": rows.fresh, **WHY}


_ASKS = tuple(
    Write(form=lambda rows, verb=verb: {"action": verb, "_selected_action": [rows.keys["outbox.outboxevent"]]},  # type: ignore[misc]
          effect=False)
    for verb in EVENT_DECISIONS
)  # fmt: skip
_PAUSES = tuple(
    Write(form=lambda rows, verb=verb: {"action": verb, "_selected_action": [rows.tenant]}, effect=False)  # type: ignore[misc]
    for verb in ("pause", "resume")
)
_NAMED: Form = lambda rows: {"tenant": rows.tenant}  # noqa: E731
_SPANS: tuple[Form, ...] = (lambda rows: {}, lambda rows: {"span": "24h"}, lambda rows: {"brief": "1"})
_FRAGMENT = Rule(see=(OVERVIEW,), asked=_SPANS)

RULES: dict[str, Rule] = {
    "index": Rule(),
    "login": Rule(found=frozenset({200, 302})),
    "logout": Rule(found=frozenset({405})),
    "password_change": Rule(),
    "password_change_done": Rule(),
    "autocomplete": Rule(
        found=frozenset({403, 404}),
        asked=(
            lambda rows: {"app_label": "outbox", "model_name": "outboxattempt", "field_name": "event", "term": "a"},
        ),
    ),
    "jsi18n": Rule(),
    "view_on_site": Rule(found=frozenset({404})),
    **{f"app_list:{app}": Rule(found=frozenset({200, 404})) for app in VERBS["app_list"]},
    "(?P<url>.*)$": Rule(found=frozenset({404})),
    # events
    **dict(
        _model(
            "outbox.outboxevent",
            listed=_ASKS,
            asked=(
                _NAMED,
                lambda rows: {"id": rows.keys["outbox.outboxevent"]},
                lambda rows: {"q": f"{rows.tenant} {rows.tenant}-1"},
                lambda rows: {"tenant": rows.tenant, "partition_key": f"{rows.tenant}-key"},
                lambda rows: {"topic": f"{rows.tenant}-orders", "status__exact": "failed"},
                lambda rows: {"status__exact": "failed", "error_class": "topic"},
            ),
        )
    ),
    "outbox_outboxevent_reveal": Rule(
        see=(SEE_EVENTS, "outbox.reveal_outboxevent"), writes=(Write(form=lambda rows: WHY),)
    ),
    **dict(_event_decisions()),
    **dict(_model("outbox.outboxattempt", asked=(lambda rows: {"q": rows.keys["outbox.outboxevent"]},))),
    # jobs
    **dict(_model("outbox.outboxjob", asked=(lambda rows: {"state__exact": "queued"},))),
    "outbox_dead_letters": Rule(see=(SEE_EVENTS,)),
    "outbox_job_figures": Rule(see=(SEE_JOBS,)),
    **{
        f"outbox_job_move:{each}": Rule(
            see=(SEE_JOBS, "outbox.replay_outboxevent"), writes=(Write(form=lambda rows: WHY),)
        )
        for each in VERBS["outbox_job_move"]
    },
    # tenants
    **dict(_model("outbox.overview", view=OVERVIEW, hidden=True)),
    "outbox_overview_changelist": _FRAGMENT,
    "outbox_overview_figures": _FRAGMENT,
    "outbox_overview_charts": _FRAGMENT,
    "outbox_tenant_changelist": Rule(see=(OVERVIEW,), found=frozenset({302}), asked=(lambda rows: {}, _NAMED)),
    "outbox_tenant_change": _FRAGMENT,
    "outbox_tenant_figures": _FRAGMENT,
    "outbox_tenant_charts": _FRAGMENT,
    **dict(
        _model(
            "outbox.tenantpolicy",
            add=(Write(form=lambda rows: {"tenant_id": rows.fresh, "weight": "7", **WHY}, asks=True),),
            change=(Write(form=lambda rows: {"weight": "7", **WHY}, needs=("outbox.change_tenantpolicy",), asks=True),),
            delete=(Write(form=lambda rows: {"post": "yes", **WHY}),),
            listed=_PAUSES,
        )
    ),
    **{
        f"outbox_policy_decide:{verb}": Rule(
            see=(SEE_POLICIES, PAUSE),
            asked=(_NAMED,),
            writes=(Write(form=lambda rows: {"tenant": rows.tenant, **WHY}),),
        )
        for verb in VERBS["outbox_policy_decide"]
    },
    **dict(_model("outbox.tenantbacklog")),
    **dict(_model("outbox.backlogcount", hidden=True)),
    **dict(_model("outbox.outboxlane")),
    **dict(_model("outbox.outboxrelay", hidden=True)),
    **dict(
        _model(
            "outbox.operatoraction",
            asked=(_NAMED, lambda rows: {"verb": "pause"}, lambda rows: {"actor": "ann", "q": "asked"}),
        )
    ),
    # circuits
    **dict(
        _model(
            "circuits.tenantcircuit",
            add=(
                Write(
                    form=lambda rows: {**dict.fromkeys(THRESHOLDS, ""), "tenant_id": rows.fresh, "name": "new", **WHY},
                    asks=True,
                ),
            ),
            change=(
                Write(
                    form=lambda rows: {**dict.fromkeys(THRESHOLDS, ""), "failure_threshold": "9", **WHY},
                    needs=(SET,),
                    asks=True,
                ),
            ),
            listed=tuple(_circuit_list()),
            asked=(lambda rows: {"visible_state": "forced_open"},),
        )
    ),
    **dict(_circuit_decisions()),
    **dict(_model("circuits.circuittransition")),
    **dict(
        _model(
            "circuits.stafftenantscope",
            add=(Write(form=_limit, asks=True),),
            delete=(Write(form=lambda rows: {"post": "yes", "unlimited": "on", **WHY}),),
            hidden=True,
        )
    ),
    # the service
    **dict(_model("somabrain.webhookdelivery")),
    **dict(_model("somabrain.queuedwrite", asked=(lambda rows: {"rejected_at__isempty": "0"},))),
    # of others
    **dict(_stock("auth.group")),
    **dict(_stock("auth.user")),
    "auth_user_password_change": Rule(see=("auth.change_user",)),
    **dict(_model("django_q.schedule", hidden=True)),
    **dict(_model("django_q.success", hidden=True, listed=(_resubmitted("django_q.success"),))),
    **dict(_model("django_q.failure", hidden=True, listed=(_resubmitted("django_q.failure"),))),
    **dict(_model("django_q.ormq", hidden=True)),
}
