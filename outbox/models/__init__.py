"""Rows, constraints and the questions asked of them."""

from outbox.models.attempt import OutboxAttempt
from outbox.models.event import EventStatus, OutboxEvent
from outbox.models.lane import OutboxLane
from outbox.models.policy import TenantPolicy
from outbox.models.relay import OutboxRelay

__all__ = ["EventStatus", "OutboxAttempt", "OutboxEvent", "OutboxLane", "OutboxRelay", "TenantPolicy"]
