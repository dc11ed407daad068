"""The demo's servers belong to a checkout, so its processes are tried in one of their own."""

from tests.somabrain.embedded.conftest import _used_checkout, checkout

__all__ = ["_used_checkout", "checkout"]
