"""Replay and discard in the admin: a page that says what would be done, and asks why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from outbox.operations import discard, replay, requeue
from outbox.operations.audit import MOST_REASON, NoReason, checked_reason
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import MOST_IDS, Filter, InvalidFilter


class ReasonForm(forms.Form):
    """Why somebody does this."""

    reason = forms.CharField(
        max_length=MOST_REASON,
        widget=forms.TextInput(attrs={"size": 80}),
        help_text="Recorded, with who did it and from where.",
    )

    def clean_reason(self) -> str:
        try:
            return checked_reason(self.cleaned_data["reason"])
        except NoReason as error:
            raise ValidationError(str(error)) from error


class DecisionForm(ReasonForm):
    """And for which events."""

    ids = forms.CharField(widget=forms.HiddenInput)
    back = forms.CharField(widget=forms.HiddenInput, required=False)

    def clean_ids(self) -> Filter:
        try:
            return named(self.cleaned_data["ids"])
        except InvalidFilter as error:
            raise ValidationError(str(error)) from error


class ReplayForm(DecisionForm):
    duplicate_sent = forms.BooleanField(
        required=False, label="Sent events too", help_text=f"{replay.DUPLICATE} Without it they are left alone."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that can be done with events."""

    verb: str
    permission: str
    title: str
    done: str
    effect: str
    form: type[DecisionForm]
    do: Callable[..., Progress]
    preview: Callable[..., Preview]

    def options(self, form: forms.Form) -> dict[str, Any]:
        """What the form adds to `do` and `preview`."""
        return {"duplicate_sent": form.cleaned_data["duplicate_sent"]} if self.form is ReplayForm else {}


DECISIONS = {
    each.verb: each
    for each in (
        Decision(
            verb="replay",
            permission="outbox.replay_outboxevent",
            title="Replay events",
            done="Replayed",
            effect=(
                "Dead letters and discarded events become pending again, as new ones but for their number and their "
                "place, and are published at once with a header replay. Pending and scheduled ones are left alone."
            ),
            form=ReplayForm,
            do=replay.replay,
            preview=replay.preview,
        ),
        Decision(
            verb="discard",
            permission="outbox.discard_outboxevent",
            title="Discard events",
            done="Discarded",
            effect=(
                "Pending and scheduled events and dead letters are not published any more, unless somebody replays "
                f"them. Later events of a key that waited for one of them go out. {discard.UNDER_WAY}"
            ),
            form=DecisionForm,
            do=discard.discard,
            preview=discard.preview,
        ),
        Decision(
            verb="requeue",
            permission="outbox.requeue_outboxevent",
            title="Requeue events",
            done="Requeued",
            effect=(
                "Events that wait for another attempt are due at once; their failed attempts still count. Delayed "
                "events keep their time, and all others are left alone."
            ),
            form=DecisionForm,
            do=requeue.requeue,
            preview=requeue.preview,
        ),
    )
}


def named(text: str) -> Filter:
    """The events of a list of numbers. Raises `InvalidFilter`."""
    words = [word for word in text.split(",") if word]
    if not words or len(words) > MOST_IDS or not all(word.isascii() and word.isdecimal() for word in words):
        raise InvalidFilter(f"name 1 to {MOST_IDS} events by their numbers")
    return Filter(ids=tuple(int(word) for word in words))
