"""Calls to a dependency under the guard of a circuit."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from circuits.errors import CircuitOpen
from circuits.events import Allowed, Event, Failed, Refused, Released, Succeeded
from circuits.metrics import REFUSED
from circuits.names import Key, checked_key
from circuits.process import process
from circuits.view import View

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SLOW = "slow"
"""The error code of a call that succeeded, but took too long."""
_CODE_LENGTH = 64
_views = process.views


class Circuit:
    """One tenant's circuit to one dependency. Cheap to make: the state is the process's and the database's.

    `tenant_id`: the tenant, or `*` for a circuit that all tenants share.
    `name`: the dependency, such as `memory`.
    `ignore`: exceptions that say nothing about the dependency: they count neither as failure nor as success.
    `is_failure`: told an exception, whether it is a failure of the dependency; if not, it is ignored too.
    `fallback`: called instead of a guarded function, with the same arguments, while the circuit is open.

    Any other `Exception` is a failure, and none is a success. What is no `Exception`, such as a cancellation, and an
    open circuit further inside are ignored. Raises `InvalidName`.
    """

    __slots__ = ("_fallback", "_ignore", "_is_failure", "key")

    def __init__(
        self,
        *,
        tenant_id: str,
        name: str,
        ignore: tuple[type[BaseException], ...] = (),
        is_failure: Callable[[Exception], bool] | None = None,
        fallback: Callable[..., Any] | None = None,
    ) -> None:
        self.key: Key = checked_key(tenant_id, name)
        self._ignore = (*ignore, CircuitOpen)
        self._is_failure = is_failure
        self._fallback = fallback

    @property
    def tenant_id(self) -> str:
        return self.key[0]

    @property
    def name(self) -> str:
        return self.key[1]

    def call(self) -> Call:
        """A call, to be used once: `with circuit.call():` or `async with circuit.call():`.

        Entering raises `CircuitOpen` if the call must not be made. If the database cannot be reached, it is made.
        """
        return Call(self)

    def guard(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorator: each call of the function, or of the coroutine function, is a call under this circuit.

        Raises `TypeError` for a generator.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator, which ends later: use circuit.call() inside.")
        if inspect.iscoroutinefunction(function):
            return cast(Callable[P, T], self._guard_async(function))

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            call = Call(self)
            try:
                with call:
                    return function(*args, **kwargs)
            except CircuitOpen:
                if call.was_made or self._fallback is None:
                    raise
                return cast(T, self._fallback(*args, **kwargs))

        return guarded

    def state(self) -> str:
        """`closed`, `open`, `half_open`, `forced_open` or `forced_closed`, as this process knows it."""
        return process.view(self.key).visible()

    def _guard_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            call = Call(self)
            try:
                async with call:
                    return await function(*args, **kwargs)
            except CircuitOpen:
                if call.was_made or self._fallback is None:
                    raise
                instead = self._fallback(*args, **kwargs)
                return await instead if inspect.isawaitable(instead) else instead

        return guarded

    def outcome_of(self, error: BaseException | None, epoch: int) -> Succeeded | Failed | Released:
        """What a call that ended so says about the dependency."""
        if error is None:
            return Succeeded(epoch=epoch)
        if not isinstance(error, Exception) or isinstance(error, self._ignore):
            return Released(epoch=epoch)
        if not self._counts(error):
            return Released(epoch=epoch)
        return Failed(epoch=epoch, error_code=clean_code(type(error).__name__))

    def _counts(self, error: Exception) -> bool:
        if self._is_failure is None:
            return True
        try:
            return self._is_failure(error)
        except Exception:
            logger.exception("is_failure of circuit %r failed itself; %r counts as a failure.", self.name, error)
            return True


class Call:
    """One call. Inside the block `fail()` and `ignore()` say how it ended where no exception does."""

    __slots__ = ("_began", "_circuit", "_epoch", "_probe", "_said", "_view")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._view: View | None = None
        self._said: Failed | Released | None = None

    @property
    def was_made(self) -> bool:
        """Whether the circuit has let it through."""
        return self._view is not None

    def fail(self, error_code: str = "") -> None:
        """The dependency has failed, although no exception says so."""
        self._said = Failed(epoch=self._epoch, error_code=clean_code(error_code))

    def ignore(self) -> None:
        """This call says nothing about the dependency."""
        self._said = Released(epoch=self._epoch)

    def __enter__(self) -> Call:
        view = _views.get(self._circuit.key)
        if view is not None and view.free:
            return self._go(view, view.state.epoch, probe=False)
        view = process.view(self._circuit.key)
        return self._obey(view.decide() or process.acquire(self._circuit.key))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # There is one by now; to assert it would cost every call.
        view = self._view
        if kind is None and self._said is None and view.quiet and _views.get(self._circuit.key) is view:  # type: ignore[union-attr]
            return
        if (event := self._event(error)) is not None:
            process.report(self._circuit.key, [event])

    async def __aenter__(self) -> Call:
        view = _views.get(self._circuit.key)
        if view is None:
            view = await asyncio.to_thread(process.view, self._circuit.key)
        if view.free:
            return self._go(view, view.state.epoch, probe=False)
        return self._obey(view.decide() or await self._acquire())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (event := self._event(error)) is not None:
            # Told to its end, even if whoever awaits it is cancelled meanwhile.
            await asyncio.shield(asyncio.to_thread(process.report, self._circuit.key, [event]))

    async def _acquire(self) -> Allowed | Refused:
        """A permit that comes after its caller was cancelled is given back."""
        asking = asyncio.ensure_future(asyncio.to_thread(process.acquire, self._circuit.key))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: asyncio.Future[Allowed | Refused]) -> None:
        if not asked.cancelled() and asked.exception() is None:
            decision = asked.result()
            if isinstance(decision, Allowed) and decision.probe:
                event = Released(epoch=decision.epoch)
                asyncio.get_running_loop().run_in_executor(None, process.report, self._circuit.key, [event])

    def _obey(self, decision: Allowed | Refused) -> Call:
        tenant_id, name = self._circuit.key
        if isinstance(decision, Refused):
            REFUSED.labels(name).inc()
            raise CircuitOpen(tenant_id, name, decision.state, decision.retry_after)
        return self._go(process.view(self._circuit.key), decision.epoch, probe=decision.probe)

    def _go(self, view: View, epoch: int, *, probe: bool) -> Call:
        if self._view is not None:
            raise RuntimeError("A call is used once: take another one by circuit.call().")
        view.used = True
        self._view = view
        self._epoch = epoch
        self._probe = probe
        self._began = time.monotonic() if view.policy.slow_call else 0.0
        return self

    def _event(self, error: BaseException | None) -> Event | None:
        """What the database has to be told."""
        view = _views.get(self._circuit.key) or self._view
        assert view is not None  # noqa: S101  a call that was not made does not end
        return view.judge(self._said or self._outcome(view, error), probe=self._probe)

    def _outcome(self, view: View, error: BaseException | None) -> Succeeded | Failed | Released:
        limit = view.policy.slow_call
        if error is None and limit and self._began and time.monotonic() - self._began > limit:
            return Failed(epoch=self._epoch, error_code=SLOW)
        return self._circuit.outcome_of(error, self._epoch)


def clean_code(code: str) -> str:
    """An error code as the history takes it."""
    return code.replace("\x00", "")[:_CODE_LENGTH]
