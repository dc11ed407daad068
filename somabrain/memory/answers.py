"""What the memory answers over HTTP, and what that means. Knows no network."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from somabrain.memory.backend import Memory, Question, Write
from somabrain.memory.errors import BackendFailed, BackendRejected

# Of the answers that blame the client, these are no fault of the one call: they pass, or staff have to see to them.
_NOT_THE_CALLERS = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_BAD_ANSWER = "bad_answer"
_EXCERPT = 80


def judge(status: int, body: bytes) -> Any:
    """The answer's JSON object. Raises `BackendRejected` and `BackendFailed`."""
    if 400 <= status < 500 and status not in _NOT_THE_CALLERS:
        raise BackendRejected(f"http_{status}", _excerpt(body))
    if not 200 <= status < 300:
        raise BackendFailed(f"http_{status}", _excerpt(body))
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BackendFailed(_BAD_ANSWER, f"its answer is no JSON: {_excerpt(body)}") from error
    if not isinstance(found, dict):
        raise BackendFailed(_BAD_ANSWER, f"its answer is no JSON object: {_excerpt(body)}")
    return found


def kept(answer: Any, write: Write) -> int:
    """The version that the memory has. Raises `BackendFailed` unless it is this write's, or a higher one."""
    version = answer.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < write.version:
        raise BackendFailed(_BAD_ANSWER, "it does not say that it has the write's version or a higher one")
    return version


def memories(answer: Any, question: Question) -> tuple[Memory, ...]:
    """What was found. Raises `BackendFailed`, also when there is something of another tenant among it."""
    found = answer.get("memories")
    if not isinstance(found, list):
        raise BackendFailed(_BAD_ANSWER, "its answer has no list of memories")
    return tuple(_memory(each, question) for each in found[: question.top_k])


def _memory(found: Any, question: Question) -> Memory:
    if not isinstance(found, dict) or not isinstance(found.get("key"), str) or "payload" not in found:
        raise BackendFailed(_BAD_ANSWER, "a memory has no key or no payload")
    ours = {"tenant_id": question.tenant_id, "namespace": question.namespace}
    if any(found.get(name, own) != own for name, own in ours.items()):
        raise BackendFailed(_BAD_ANSWER, "a memory is not of the tenant and namespace that were asked for")
    score = found.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float | None):
        raise BackendFailed(_BAD_ANSWER, "a memory's score is no number")
    return Memory(key=found["key"], payload=found["payload"], score=score)


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 2 * _EXCERPT].decode(errors="replace").split())
    return f"it said {text[:_EXCERPT]!r}" if text else "it said nothing"
