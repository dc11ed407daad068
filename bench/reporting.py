"""A relay that also notes when each delivery report came: `python -m bench.reporting FILE`.

The report cannot be seen from outside. `sent_at` is written after it, and a consumer may have the message before it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from confluent_kafka import KafkaError, Message


def main(file: Path) -> None:
    """Publish until SIGTERM; then write the time of each event's report, in seconds since 1970, by dedupe key."""
    import django

    django.setup()
    from django.core.management import call_command

    from outbox.relay.lanes import DEDUPE_KEY, Lane, Row

    reported: dict[str, float] = {}
    report = Lane.report

    def noting(self: Lane, row: Row, error: KafkaError | None, message: Message) -> None:
        report(self, row, error, message)
        reported.setdefault(row[DEDUPE_KEY], time.time())

    Lane.report = noting  # type: ignore[method-assign]  # looks on, in this process alone
    call_command("outbox", "relay")
    file.write_text(json.dumps(reported))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
