"""An iterable of events, cut into chunks of COPY's text format that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from outbox.enqueueing.admission import Full, refuse
from outbox.enqueueing.events import NewEvent
from outbox.enqueueing.excerpts import outline
from outbox.enqueueing.validation import Row, validate
from outbox.errors import InvalidEvent

_CHUNK_LINES = 10_000
_CHUNK_CHARACTERS = 4_000_000
_PIECE_LINES = 100
_PIECE_CHARACTERS = 100_000

# JSON escapes such characters by itself, keys are taken as they are.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NO_TIME = "\\N"


def chunks(
    events: Iterable[NewEvent], *, max_message_bytes: int, current_trace: str | None, full: Mapping[str, Full]
) -> Iterator[Chunk]:
    """Raises `InvalidEvent`, which says which of the events it is, and `BacklogFull` for one of a tenant among `full`.

    Those of a list are taken while the database reads the lines before. Anything else may use the connection, or
    change a payload that it has given, when it is asked for the next event, so its chunks are made beforehand.
    """
    source = _lines(events, max_message_bytes=max_message_bytes, current_trace=current_trace, full=full)
    beforehand = not isinstance(events, list | tuple) or any(map(_is_delayed, events))
    while True:
        chunk = Chunk(source)
        while chunk.draw() and beforehand:
            pass
        if not chunk.lines:
            return
        yield chunk


class Chunk:
    """Some of the lines."""

    def __init__(self, source: Iterator[str]) -> None:
        self.lines: list[str] = []
        self.delayed = False
        """Whether any of its events has a time."""
        self._source = source
        self._characters = 0

    def draw(self) -> str:
        """A few more lines; none when the chunk is full or the source dry."""
        if len(self.lines) >= _CHUNK_LINES or self._characters >= _CHUNK_CHARACTERS:
            return ""
        piece: list[str] = []
        characters = 0
        for line in self._source:
            piece.append(line)
            characters += len(line)
            if not line.endswith(_NO_TIME, 0, -1):
                self.delayed = True
            if len(piece) >= _PIECE_LINES or characters >= _PIECE_CHARACTERS:
                break
        self.lines += piece
        self._characters += characters
        return "".join(piece)

    def pieces(self) -> Iterator[str]:
        """All lines. Can be asked for again."""
        yield "".join(self.lines)
        while piece := self.draw():
            yield piece

    def tenants(self) -> set[str]:
        return {line.partition("\t")[0] for line in self.lines}


def _lines(
    events: Iterable[NewEvent], *, max_message_bytes: int, current_trace: str | None, full: Mapping[str, Full]
) -> Iterator[str]:
    for number, event in enumerate(events):
        try:
            if not isinstance(event, NewEvent):
                raise InvalidEvent("event", outline(event), "it is not a NewEvent", "Send NewEvent(...)")
            row = validate(event, max_message_bytes=max_message_bytes, current_trace=current_trace)
        except InvalidEvent as error:
            raise InvalidEvent(f"events[{number}].{error.field}", error.value, error.reason, error.way_out) from error
        if full:
            refuse(row.tenant_id, full)
        yield _line(row)


def _line(row: Row) -> str:
    partition_key, dedupe_key = row.partition_key, row.dedupe_key
    if not partition_key.isprintable() or "\\" in partition_key:
        partition_key = partition_key.translate(_ESCAPES)
    if not dedupe_key.isprintable() or "\\" in dedupe_key:
        dedupe_key = dedupe_key.translate(_ESCAPES)
    payload = row.payload.replace("\\", "\\\\")
    headers = row.headers.replace("\\", "\\\\")
    time = _NO_TIME if row.available_at is None else row.available_at.isoformat()
    return f"{row.tenant_id}\t{row.topic}\t{partition_key}\t{dedupe_key}\t{payload}\t{headers}\t{time}\n"


def _is_delayed(event: NewEvent) -> bool:
    return getattr(event, "available_at", None) is not None
