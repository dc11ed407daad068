"""The outbox's rows in Django's admin: to be looked at, and the tenants' policies to be edited."""

from outbox.admin.action import ActionAdmin
from outbox.admin.attempt import AttemptAdmin
from outbox.admin.backlog import BacklogCountAdmin, TenantBacklogAdmin
from outbox.admin.event import EventAdmin
from outbox.admin.job import JobAdmin
from outbox.admin.lane import LaneAdmin
from outbox.admin.overview import OverviewAdmin
from outbox.admin.policy import PolicyAdmin
from outbox.admin.relay import RelayAdmin
from outbox.admin.tenant import TenantAdmin

__all__ = [
    "ActionAdmin",
    "AttemptAdmin",
    "BacklogCountAdmin",
    "EventAdmin",
    "JobAdmin",
    "LaneAdmin",
    "OverviewAdmin",
    "PolicyAdmin",
    "RelayAdmin",
    "TenantAdmin",
    "TenantBacklogAdmin",
]
