"""How large a proof is: small in the ordinary run, full for `make proofs`."""

from __future__ import annotations

import os

FULL = os.environ.get("PROOFS") == "full"

SLOW: dict[str, str] = {} if FULL else {"OUTBOX_BATCH_SIZE": "100"}
"""For relays that are to have a backlog for a while: a small one would not last where the machine is fast."""


def size(small: int, full: int) -> int:
    return full if FULL else small
