"""Rows and constraints."""

from circuits.models.circuit import TenantCircuit
from circuits.models.scope import StaffTenantScope
from circuits.models.transition import CircuitTransition

__all__ = ["CircuitTransition", "StaffTenantScope", "TenantCircuit"]
