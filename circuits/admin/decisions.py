"""What staff decide about circuits: each with a page that asks whether they are sure, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from circuits.admin.forms import BulkForm, DecisionForm, ForceForm
from circuits.operations import steering, thresholds

STEER = "circuits.steer_tenantcircuit"
CHANGE = "circuits.change_tenantcircuit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that staff can decide. `do` raises `CircuitError` if it cannot be done."""

    verb: str
    permission: str
    title: str
    effect: str
    done: str
    form: type[forms.Form]
    do: Callable[..., Any]
    at_once: bool = True
    """Whether it is committed in a session of its own, and holds whatever becomes of the page."""

    def options(self, form: forms.Form) -> dict[str, Any]:
        """What the form adds to `do`."""
        if isinstance(form, BulkForm):
            return {"reason": form.cleaned_data["reason"], "changes": form.changes()}
        return dict(form.cleaned_data)


DECISIONS: Mapping[str, Decision] = {
    each.verb: each
    for each in (
        Decision(
            verb="force_open",
            permission=STEER,
            title="Force open",
            effect="All calls are refused, whatever happens, until somebody decides otherwise or the time is over.",
            done="Forced open",
            form=ForceForm,
            do=steering.force_open,
        ),
        Decision(
            verb="force_closed",
            permission=STEER,
            title="Force closed",
            effect="All calls are made, however many fail, until somebody decides otherwise or the time is over.",
            done="Forced closed",
            form=ForceForm,
            do=steering.force_closed,
        ),
        Decision(
            verb="automatic",
            permission=STEER,
            title="Back to automatic",
            effect="The circuit is left to itself again, as it was before it was forced.",
            done="Automatic again",
            form=DecisionForm,
            do=steering.automatic,
        ),
        Decision(
            verb="reset",
            permission=STEER,
            title="Reset",
            effect="The circuit is closed and automatic, and all its failures are forgotten.",
            done="Reset",
            form=DecisionForm,
            do=steering.reset,
        ),
        Decision(
            verb="set_thresholds",
            permission=CHANGE,
            title="Set thresholds",
            effect="What is left empty stays as each circuit has it; the word default goes back to the default.",
            done="Thresholds set",
            form=BulkForm,
            do=thresholds.configure,
            at_once=False,
        ),
    )
}

WITHOUT_ROW = ("force_open", "force_closed")
"""What can be decided about a circuit that never failed."""
