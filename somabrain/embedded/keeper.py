"""Stops the embedded PostgreSQL whose last user was killed, or ended by a signal, and could not."""

from __future__ import annotations

from somabrain.embedded import locks, postgres


def keep() -> None:
    """Wait for the end of the last user, and stop the server. Returns at once beside another keeper."""
    if locks.take(postgres.KEEPER) is None:
        return
    while True:
        postgres.wait_until_unused()
        if postgres.stop_if_unused():
            return


if __name__ == "__main__":
    keep()
