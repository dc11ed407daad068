"""An iterable of events, cut into chunks that fit into memory and are written down in COPY's text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from outbox.enqueueing.events import NewEvent
from outbox.enqueueing.excerpts import outline
from outbox.enqueueing.validation import Draft, Row, check, complete
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
    drafts: list[Draft] = field(default_factory=list)
    weight: int = 0
    delayed: bool = False
    _lines: list[str] = field(default_factory=list)

    def add(self, draft: Draft) -> None:
        self.drafts.append(draft)
        self.weight += draft.weight
        self.delayed = self.delayed or draft.available_at is not None

    @property
    def is_full(self) -> bool:
        return len(self.drafts) >= _MOST_EVENTS or self.weight >= _MOST_WEIGHT

    def write(self, count: int) -> str:
        """The next lines. Raises `InvalidEvent`, as some things show only in the text."""
        written = len(self._lines)
        for number, draft in enumerate(self.drafts[written : written + count], self.first + written):
            try:
                self._lines.append(_line(complete(draft)))
            except InvalidEvent as error:
                raise _of_event(number, error) from error
        return "".join(self._lines[written:])

    def pieces(self) -> Iterator[str]:
        """All lines, those not written yet while the database reads the ones before. Can be asked for again."""
        if self._lines:
            yield "".join(self._lines)
        while len(self._lines) < len(self.drafts):
            yield self.write(_LINES_PER_PIECE)


def chunks(events: Iterable[NewEvent], *, max_message_bytes: int, current_trace: str | None) -> Iterator[Chunk]:
    """Checks as it goes. Raises `InvalidEvent`, which says which of the events it is.

    Payloads of a list are written as text when their chunk is; those of anything else at once, since the next event
    may be yielded with the same dict, changed.
    """
    settled = isinstance(events, list | tuple)
    chunk = Chunk(first=0)
    for number, event in enumerate(events):
        try:
            if not isinstance(event, NewEvent):
                raise InvalidEvent("event", outline(event), "it is not a NewEvent", "Send NewEvent(...)")
            chunk.add(check(event, max_message_bytes=max_message_bytes, current_trace=current_trace))
        except InvalidEvent as error:
            raise _of_event(number, error) from error
        if not settled:
            chunk.write(1)
        if chunk.is_full:
            yield chunk
            chunk = Chunk(first=number + 1)
    if chunk.drafts:
        yield chunk


def _of_event(number: int, error: InvalidEvent) -> InvalidEvent:
    return InvalidEvent(f"events[{number}].{error.field}", error.value, error.reason, error.way_out)


def _line(row: Row) -> str:
    partition_key, dedupe_key = row.partition_key, row.dedupe_key
    if not partition_key.isprintable() or "\\" in partition_key:
        partition_key = partition_key.translate(_ESCAPES)
    if not dedupe_key.isprintable() or "\\" in dedupe_key:
        dedupe_key = dedupe_key.translate(_ESCAPES)
    payload = row.payload.replace("\\", "\\\\")
    headers = row.headers.replace("\\", "\\\\")
    due = "\\N" if row.available_at is None else row.available_at.isoformat()
    return f"{row.tenant_id}\t{row.topic}\t{partition_key}\t{dedupe_key}\t{payload}\t{headers}\t{due}\n"
