"""Rows, constraints and the questions asked of them."""

from outbox.models.attempt import OutboxAttempt
from outbox.models.backlog import BacklogCount, TenantBacklog
from outbox.models.event import EventStatus, OutboxEvent
from outbox.models.job import JobState, JobVerb, OutboxJob
from outbox.models.lane import OutboxLane
from outbox.models.operator_action import ActionSource, OperatorAction
from outbox.models.pages import Overview, Tenant
from outbox.models.policy import TenantPolicy
from outbox.models.relay import OutboxRelay
from outbox.models.series import MinuteCount

__all__ = [
    "ActionSource",
    "BacklogCount",
    "EventStatus",
    "JobState",
    "JobVerb",
    "MinuteCount",
    "OperatorAction",
    "OutboxAttempt",
    "OutboxEvent",
    "OutboxJob",
    "OutboxLane",
    "OutboxRelay",
    "Overview",
    "Tenant",
    "TenantBacklog",
    "TenantPolicy",
]
