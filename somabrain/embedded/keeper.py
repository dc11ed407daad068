"""Stops the embedded PostgreSQL whose last user was killed, or ended by a signal, and could not."""

from __future__ import annotations

import os

from somabrain.embedded import locks, postgres


def main() -> None:
    """Become a process of nobody's that holds the keeper's lock, unless another one does."""
    if locks.take(postgres.KEEPER) is not None and os.fork() == 0:
        _keep()


def _keep() -> None:
    """Wait for the end of the last user, and stop the server."""
    while True:
        postgres.wait_until_unused()
        if postgres.stop_if_unused():
            return


if __name__ == "__main__":
    main()
