"""How a job moves from state to state. Nothing but rules."""

from __future__ import annotations

import enum
from typing import NamedTuple

from outbox.errors import OutboxError
from outbox.models import JobState


class Action(enum.Enum):
    CLAIM = "claim"
    """A worker takes it, also from one that died."""
    PAUSE = "pause"
    RESUME = "resume"
    """Also after it failed: it goes on where it stopped."""
    CANCEL = "cancel"
    FINISH = "finish"
    FAIL = "fail"


class Transition(NamedTuple):
    sources: tuple[JobState, ...]
    target: JobState


TRANSITIONS = {
    Action.CLAIM: Transition((JobState.QUEUED, JobState.RUNNING), JobState.RUNNING),
    Action.PAUSE: Transition((JobState.QUEUED, JobState.RUNNING), JobState.PAUSED),
    Action.RESUME: Transition((JobState.PAUSED, JobState.FAILED), JobState.QUEUED),
    Action.CANCEL: Transition((JobState.QUEUED, JobState.RUNNING, JobState.PAUSED), JobState.CANCELLED),
    Action.FINISH: Transition((JobState.RUNNING,), JobState.DONE),
    Action.FAIL: Transition((JobState.RUNNING,), JobState.FAILED),
}
OPERATORS = (Action.PAUSE, Action.RESUME, Action.CANCEL)
"""What people do to a job; the rest is up to workers."""


class ImpossibleTransition(OutboxError):
    """A job in this state cannot be treated like this."""


def after(state: JobState, action: Action) -> JobState:
    """The state that a job is in after it. Raises `ImpossibleTransition`."""
    sources, target = TRANSITIONS[action]
    if state not in sources:
        others = " or ".join(each.value for each in sources)
        raise ImpossibleTransition(f"the job is {state.value}: only one that is {others} can be told to {action.value}")
    return target


def possible(state: JobState) -> tuple[Action, ...]:
    """What people can do to a job in this state."""
    return tuple(action for action in OPERATORS if state in TRANSITIONS[action].sources)
