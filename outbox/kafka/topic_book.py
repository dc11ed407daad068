"""What is known about topics, for how long, and what to ask: rules without a broker, a thread or a clock."""

from __future__ import annotations

import enum
import heapq
import itertools
from dataclasses import dataclass

from confluent_kafka import KafkaError

OK_SECONDS = 300.0
"""How long a good answer holds. It stays in use while it is asked for again, so that nobody waits."""
REFUSAL_SECONDS = 1.0
"""How long a bad answer holds."""
PATIENCE_SECONDS = 1.0
"""How long an unknown topic is asked for: a broker that creates topics calls them unknown at first."""
MEMORY_SECONDS = 60.0
"""How long a missing topic is remembered: if it is unknown again, there is no patience with it."""
AGAIN_SECONDS = 0.05
"""Pause before asking again for a topic that is being created."""
SLOWLY_SECONDS = 0.25
"""Pause when that goes on, as with a topic that has no leader, and when the broker does not answer."""
WANTED_SECONDS = 10.0
"""A question is dropped when nobody has wanted its answer for so long."""
MOST_REFUSALS = 10_000


class TopicState(enum.Enum):
    OK = "ok"
    CHECKING = "checking"
    """Not known yet, or without a leader at present: its events stay where they are."""
    MISSING = "missing"
    FORBIDDEN = "forbidden"


_REFUSALS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: TopicState.MISSING,
    KafkaError.TOPIC_EXCEPTION: TopicState.MISSING,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TopicState.FORBIDDEN,
}


@dataclass(slots=True, eq=False)
class Question:
    """One topic that the broker has to be asked about."""

    topic: str
    asked: float
    wanted: float
    due: float
    unknown_since: float | None = None


@dataclass(slots=True, eq=False)
class _Answer:
    state: TopicState
    until: float


class TopicBook:
    """Moments are seconds of the caller's clock. Not safe for threads, except for reading `ok`."""

    def __init__(self) -> None:
        self.ok: set[str] = set()
        """The topics that may be published to."""
        self._answers: dict[str, _Answer] = {}
        self._questions: dict[str, Question] = {}
        self._agenda: list[tuple[float, int, Question]] = []
        self._ends: list[tuple[float, int, str]] = []
        self._count = itertools.count()

    def state(self, topic: str, now: float) -> TopicState:
        """What is known about the topic; what is not, or no longer, becomes a question."""
        answer = self._answers.get(topic)
        if answer is not None and now < answer.until:
            return answer.state
        question = self._questions.get(topic)
        if question is None:
            self._put(Question(topic=topic, asked=now, wanted=now, due=now))
        else:
            question.wanted = now
        return TopicState.OK if answer and answer.state is TopicState.OK else TopicState.CHECKING

    def forget(self, topic: str) -> None:
        """Producing has failed: the answer, and one that is under way, may be older than that."""
        self.ok.discard(topic)
        self._answers.pop(topic, None)
        self._questions.pop(topic, None)

    def next_due(self) -> float | None:
        """When `take` or `expire` will have something to do."""
        self._drop_void()
        return min((heap[0][0] for heap in (self._agenda, self._ends) if heap), default=None)

    def take(self, now: float) -> Question | None:
        """A question to be put now; `record` or `postpone` has to follow."""
        self._drop_void()
        if self._agenda and self._agenda[0][0] <= now:
            return heapq.heappop(self._agenda)[2]
        return None

    def record(self, question: Question, code: int, now: float) -> bool:
        """The broker's answer, 0 or an error code. True when the topic's state is known now."""
        if self._questions.get(question.topic) is not question:
            return False
        state = TopicState.OK if code == 0 else _REFUSALS.get(code)
        if state is TopicState.MISSING and code != KafkaError.TOPIC_EXCEPTION and self._is_early(question, now):
            state = None
        if state is None:
            self._ask_again(question, now)
            return False
        del self._questions[question.topic]
        self._keep(question.topic, state, now)
        return True

    def postpone(self, question: Question, now: float) -> None:
        """The broker did not answer."""
        question.unknown_since = None
        self._ask_again(question, now, pause=SLOWLY_SECONDS)

    def expire(self, now: float) -> None:
        """Take topics out of `ok` whose answer is too old; it remains in use until the next."""
        while self._ends and self._ends[0][0] <= now:
            _, _, topic = heapq.heappop(self._ends)
            answer = self._answers.get(topic)
            if answer is not None and answer.until <= now:
                self.ok.discard(topic)

    def _is_early(self, question: Question, now: float) -> bool:
        known = self._answers.get(question.topic)
        if known is not None and known.state is TopicState.MISSING and now < known.until + MEMORY_SECONDS:
            return False
        question.unknown_since = now if question.unknown_since is None else question.unknown_since
        return now - question.unknown_since < PATIENCE_SECONDS

    def _ask_again(self, question: Question, now: float, pause: float | None = None) -> None:
        if self._questions.get(question.topic) is not question:
            return
        if now - question.wanted > WANTED_SECONDS:
            del self._questions[question.topic]
            return
        young = now - question.asked < PATIENCE_SECONDS
        question.due = now + (pause or (AGAIN_SECONDS if young else SLOWLY_SECONDS))
        self._put(question)

    def _keep(self, topic: str, state: TopicState, now: float) -> None:
        good = state is TopicState.OK
        until = now + (OK_SECONDS if good else REFUSAL_SECONDS)
        self._answers[topic] = _Answer(state, until)
        if good:
            heapq.heappush(self._ends, (until, next(self._count), topic))
            self.ok.add(topic)
        elif len(self._answers) > len(self.ok) + MOST_REFUSALS:
            self._answers = {name: kept for name, kept in self._answers.items() if now < kept.until}

    def _put(self, question: Question) -> None:
        self._questions[question.topic] = question
        heapq.heappush(self._agenda, (question.due, next(self._count), question))

    def _drop_void(self) -> None:
        while self._agenda and self._questions.get(self._agenda[0][2].topic) is not self._agenda[0][2]:
            heapq.heappop(self._agenda)
