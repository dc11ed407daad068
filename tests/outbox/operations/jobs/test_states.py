"""Which states a job goes through."""

from __future__ import annotations

import itertools

import pytest

from outbox.models import JobState
from outbox.models.job import OVER
from outbox.operations.jobs.states import OPERATORS, TRANSITIONS, Action, ImpossibleTransition, after, possible


@pytest.mark.parametrize(
    ("state", "action", "becomes"),
    [
        (JobState.QUEUED, Action.CLAIM, JobState.RUNNING),
        (JobState.RUNNING, Action.CLAIM, JobState.RUNNING),
        (JobState.RUNNING, Action.PAUSE, JobState.PAUSED),
        (JobState.PAUSED, Action.RESUME, JobState.QUEUED),
        (JobState.FAILED, Action.RESUME, JobState.QUEUED),
        (JobState.PAUSED, Action.CANCEL, JobState.CANCELLED),
        (JobState.RUNNING, Action.FINISH, JobState.DONE),
        (JobState.RUNNING, Action.FAIL, JobState.FAILED),
    ],
)
def test_a_job_moves(state: JobState, action: Action, becomes: JobState) -> None:
    assert after(state, action) is becomes


def test_everything_else_is_refused_with_a_reason() -> None:
    for state, action in itertools.product(JobState, Action):
        if state not in TRANSITIONS[action].sources:
            with pytest.raises(ImpossibleTransition, match=f"the job is {state.value}"):
                after(state, action)


@pytest.mark.parametrize("state", [JobState.DONE, JobState.CANCELLED])
def test_what_is_done_or_cancelled_stays_so(state: JobState) -> None:
    assert possible(state) == ()
    assert not any(state in each.sources for each in TRANSITIONS.values())


def test_people_can_stop_whatever_is_not_over_and_pause_what_is_not_paused() -> None:
    for state in set(JobState) - set(OVER):
        assert Action.CANCEL in possible(state)
        assert (Action.PAUSE in possible(state)) != (Action.RESUME in possible(state))


def test_every_state_is_reached_and_none_but_by_a_transition() -> None:
    reached = {each.target for each in TRANSITIONS.values()}
    assert reached == set(JobState)
    assert set(OPERATORS) < set(Action)
