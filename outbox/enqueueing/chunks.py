"""An iterable of events, cut into chunks that fit into memory and are written down in COPY's text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from outbox.enqueueing.events import NewEvent
from outbox.enqueueing.excerpts import outline
from outbox.enqueueing.validation import Checked, check
from outbox.errors import InvalidEvent

_MOST_EVENTS = 10_000
_MOST_WEIGHT = 8_000_000
_LINES_PER_PIECE = 100

# JSON escapes such characters by itself, keys are taken as they are.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(slots=True)
class Chunk:
    """Some of the events, checked. `first` is the number of the first one, for errors to tell which is meant."""

    first: int
    events: list[Checked] = field(default_factory=list)
    delayed: bool = False
    _weight: int = 0
    _lines: list[str] = field(default_factory=list)

    def add(self, event: Checked) -> bool:
        """Whether the chunk is full now."""
        self.events.append(event)
        self._weight += event.weight
        if event.available_at is not None:
            self.delayed = True
        return self._weight >= _MOST_WEIGHT or len(self.events) >= _MOST_EVENTS

    def write_next(self) -> None:
        """One more line. Raises `InvalidEvent`, as some things show only in the payload's text."""
        written = len(self._lines)
        try:
            self._lines.append(_line(self.events[written]))
        except InvalidEvent as error:
            raise _of_event(self.first + written, error) from error

    def pieces(self) -> Iterator[str]:
        """All lines, those not written yet while the database reads the ones before. Can be asked for again."""
        taken = 0
        while taken < len(self.events):
            while len(self._lines) < min(taken + _LINES_PER_PIECE, len(self.events)):
                self.write_next()
            yield "".join(self._lines[taken:])
            taken = len(self._lines)


def chunks(events: Iterable[NewEvent], *, max_message_bytes: int, current_trace: str | None) -> Iterator[Chunk]:
    """Checks as it goes. Raises `InvalidEvent`, which says which of the events it is.

    Payloads of a list are written as text together with their chunk; those of anything else at once, since the next
    event may be yielded with the same dict, changed.
    """
    settled = isinstance(events, list | tuple)
    chunk = Chunk(first=0)
    for number, event in enumerate(events):
        try:
            if not isinstance(event, NewEvent):
                raise InvalidEvent("event", outline(event), "it is not a NewEvent", "Send NewEvent(...)")
            checked = check(event, max_message_bytes=max_message_bytes, current_trace=current_trace)
        except InvalidEvent as error:
            raise _of_event(number, error) from error
        full = chunk.add(checked)
        if not settled:
            chunk.write_next()
        if full:
            yield chunk
            chunk = Chunk(first=number + 1)
    if chunk.events:
        yield chunk


def _of_event(number: int, error: InvalidEvent) -> InvalidEvent:
    return InvalidEvent(f"events[{number}].{error.field}", error.value, error.reason, error.way_out)


def _line(event: Checked) -> str:
    tenant_id, topic, partition_key, dedupe_key, headers, available_at, *_ = event
    if not partition_key.isprintable() or "\\" in partition_key:
        partition_key = partition_key.translate(_ESCAPES)
    if not dedupe_key.isprintable() or "\\" in dedupe_key:
        dedupe_key = dedupe_key.translate(_ESCAPES)
    payload = event.payload_text().replace("\\", "\\\\")
    headers = headers.replace("\\", "\\\\")
    due = "\\N" if available_at is None else available_at.isoformat()
    return f"{tenant_id}\t{topic}\t{partition_key}\t{dedupe_key}\t{payload}\t{headers}\t{due}\n"
