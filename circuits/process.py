"""The circuits that this process uses, as it knows them.

A thread keeps them fresh: it reads all of them in one statement every `CIRCUITS_CACHE_TTL`, and at once those that a
NOTIFY names. It starts with the first circuit that is used and ends when none is any more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from circuits import conf
from circuits.errors import StoreUnavailable
from circuits.events import Acquire, Allowed, CircuitState, Event, Refused
from circuits.metrics import OUTCOMES_LOST
from circuits.names import Key
from circuits.session import Session
from circuits.store import Reading, Store
from circuits.view import View
from circuits.watcher import Watcher

# A circuit that was not used for so many readings is not read any more.
IDLE_READINGS = 10


class Process:
    """What one process knows. Safe for threads; a child process begins anew."""

    def __init__(self) -> None:
        self.views: dict[Key, View] = {}
        self._session = Session()
        self._store = Store(self._session)
        self._changing = threading.Lock()
        self._looking: set[Key] = set()
        self._missed: set[Key] = set()
        self._watcher: Watcher | None = None
        self._inherited: list[object] = []

    def view(self, key: Key) -> View:
        """The circuit as it is known; read first if it is not. Never fails: then calls go on."""
        view = self.views.get(key)
        if view is None:
            view = self._look({key})[key]
        view.used = True
        return view

    def prepare(self, keys: Iterable[Key]) -> None:
        """Read those of them that are not known in one statement. Never fails."""
        unknown = {key for key in keys if key not in self.views}
        if unknown:
            self._look(unknown)

    def acquire(self, key: Key) -> Allowed | Refused:
        """Ask the database for leave to call. Never fails: then the call goes on."""
        began = time.monotonic()
        try:
            reading, effects = self._store.apply(key, [Acquire()])
        except StoreUnavailable:
            view = self.views.get(key)
            return Allowed(epoch=view.state.epoch if view else 0, probe=False)
        self._note(key, reading, began)
        return next(each for each in effects if isinstance(each, Allowed | Refused))

    def report(self, key: Key, events: Sequence[Event]) -> bool:
        """Tell the database what has happened. Never fails; returns whether it was told."""
        began = time.monotonic()
        try:
            reading, _ = self._store.apply(key, events)
        except StoreUnavailable:
            OUTCOMES_LOST.labels(key[1]).inc(len(events))
            view = self.views.get(key)
            if view is not None:
                view.resetting = False
            return False
        self._note(key, reading, began)
        return True

    def command(self, key: Key, event: Event) -> Reading:
        """Do what staff want. Raises `StoreUnavailable`."""
        began = time.monotonic()
        reading, _ = self._store.apply(key, [event])
        if key in self.views:
            self._note(key, reading, began)
        return reading

    def read(self, key: Key) -> Reading:
        """The circuit as the database has it now. Raises `StoreUnavailable`."""
        return self._store.read(key)

    def close(self) -> None:
        """Ends the thread and the connections, and forgets everything. The next call begins anew."""
        with self._changing:
            watcher, self._watcher = self._watcher, None
            self.views.clear()
        if watcher is not None:
            watcher.stop()
        self._session.close()

    def in_use(self) -> list[Key] | None:
        """The watcher's question: what to read now. None if it is to end, since nothing is used any more."""
        with self._changing:
            for key, view in list(self.views.items()):
                view.idle = 0 if view.used else view.idle + 1
                view.used = False
                if view.idle > IDLE_READINGS:
                    del self.views[key]
            if self.views:
                return list(self.views)
            self._watcher = None
        self._session.close()
        return None

    def hear(self, keys: Iterable[Key]) -> list[Key]:
        """The watcher's news: these have changed. Returns those to read now."""
        with self._changing:
            self._missed.update(self._looking.intersection(keys))
            return [key for key in {*keys} if key in self.views]

    def note(self, readings: Mapping[Key, Reading], began: float) -> None:
        """The watcher's answer: what it has read since `began`."""
        self._session.end_pause()
        for key, reading in readings.items():
            if key in self.views:
                self._note(key, reading, began)

    def start_anew(self) -> None:
        """In a child process: threads and connections are the parent's."""
        self._inherited += [self._session.abandon(), self._watcher]
        self.views.clear()
        self._changing = threading.Lock()
        self._looking, self._missed = set(), set()
        self._watcher = None

    def _look(self, keys: set[Key]) -> dict[Key, View]:
        """Reads circuits, again those that have changed while they were read: nobody else watches over them yet."""
        found: dict[Key, View] = {}
        with self._changing:
            self._looking |= keys
        while keys:
            views = self._read(keys)
            with self._changing:
                changed = keys & self._missed
                self._missed -= changed
                for key in keys - changed:
                    found[key] = self.views.setdefault(key, views[key])
                self._looking -= keys - changed
                keys = changed
                self._ensure_watched()
        return found

    def _read(self, keys: set[Key]) -> dict[Key, View]:
        try:
            readings, known = self._store.read_many(keys), True
        except StoreUnavailable:
            readings, known = dict.fromkeys(keys, _nothing_known()), False
        read_at = time.monotonic()
        return {key: View(reading, read_at=read_at, known=known) for key, reading in readings.items()}

    def _ensure_watched(self) -> None:
        if self._watcher is None:
            self._watcher = Watcher(self)
            self._watcher.start()

    def _note(self, key: Key, reading: Reading, began: float) -> None:
        """Takes over a reading, unless a later one was first."""
        with self._changing:
            before = self.views.get(key)
            if before is not None:
                if (reading.revision or 0) < before.revision and before.noted_at >= began:
                    return
                if before.is_like(reading):
                    before.confirm(reading, read_at=time.monotonic())
                    return
            view = View(reading, read_at=time.monotonic())
            if before is not None:
                view.inherit(before)
            self.views[key] = view


def _nothing_known() -> Reading:
    return Reading(state=CircuitState(), policy=conf.policy(), revision=None, now=datetime.now(UTC))


process = Process()
"""This process's circuits."""

os.register_at_fork(after_in_child=process.start_anew)
