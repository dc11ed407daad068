"""How large a proof is: small in the ordinary run, full for `make proofs`."""

from __future__ import annotations

import os

FULL = os.environ.get("PROOFS") == "full"


def size(small: int, full: int) -> int:
    return full if FULL else small
