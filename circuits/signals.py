"""What others may want to know of, without the circuits knowing them."""

from django.dispatch import Signal

staff_limited = Signal()
"""Sent inside the transaction that limits a member of staff to other tenants than before.

`verb`: add_scope or delete_scope. `by`: a user's name. `origin`: an `Origin`. `reason`: why. `limited`: the name of the
user who is limited. `before`, `after`: the tenants, none for no limit.
"""

history_pruned = Signal()
"""Sent when somebody has deleted moves that nobody decided, however that ended, but not by the schedule.

`by`: the account. `origin`: an `Origin`. `reason`: why, or nothing. `deleted`: how many are gone, at least one.
"""
