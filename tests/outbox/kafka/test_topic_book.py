import pytest
from confluent_kafka import KafkaError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from outbox.kafka import topic_book
from outbox.kafka.topic_book import Question, TopicBook, TopicState

UNKNOWN = KafkaError.UNKNOWN_TOPIC_OR_PART


def asked(book: TopicBook, topic: str, now: float) -> Question:
    book.state(topic, now)
    question = book.take(now)
    assert question is not None
    return question


def answered(book: TopicBook, topic: str, code: int, now: float) -> TopicState:
    """The state after the broker has answered nothing but this for as long as we have patience."""
    question = asked(book, topic, now)
    while not book.record(question, code, now):
        due = book.next_due()
        assert due is not None
        now = due
        again = book.take(now)
        assert again is question
    return book.state(topic, now)


def test_a_new_topic_is_asked_for_once() -> None:
    book = TopicBook()
    assert book.next_due() is None
    assert book.state("news", 5) is TopicState.CHECKING
    assert book.state("news", 5) is TopicState.CHECKING
    assert book.next_due() == 5
    assert book.take(5) is not None
    assert book.take(5) is None


def test_a_topic_that_exists_is_ok() -> None:
    book = TopicBook()
    assert answered(book, "news", 0, 5) is TopicState.OK
    assert book.ok == {"news"}


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, TopicState.FORBIDDEN),
        (KafkaError.TOPIC_EXCEPTION, TopicState.MISSING),
    ],
)
def test_a_refusal_is_believed_at_once(code: int, state: TopicState) -> None:
    book = TopicBook()
    assert book.record(asked(book, "news", 5), code, 5)
    assert book.state("news", 5) is state
    assert not book.ok


def test_an_unknown_topic_is_missing_when_patience_ends() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    assert not book.record(question, UNKNOWN, 5)
    assert book.state("news", 5) is TopicState.CHECKING
    assert book.record(question, UNKNOWN, 5 + topic_book.PATIENCE_SECONDS)
    assert book.state("news", 5 + topic_book.PATIENCE_SECONDS) is TopicState.MISSING


def test_a_topic_created_while_it_is_asked_for_is_ok() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    assert not book.record(question, UNKNOWN, 5)
    assert book.take(5) is None
    assert book.take(5 + topic_book.AGAIN_SECONDS) is question
    assert book.record(question, 0, 5.1)
    assert book.state("news", 5.1) is TopicState.OK


def test_a_refusal_is_asked_again_after_a_second() -> None:
    book = TopicBook()
    assert answered(book, "news", KafkaError.TOPIC_AUTHORIZATION_FAILED, 5) is TopicState.FORBIDDEN
    later = 5 + topic_book.REFUSAL_SECONDS
    assert book.state("news", later) is TopicState.CHECKING
    assert answered(book, "news", 0, later) is TopicState.OK


def test_there_is_no_patience_with_a_topic_that_was_missing_a_moment_ago() -> None:
    book = TopicBook()
    assert answered(book, "news", UNKNOWN, 5) is TopicState.MISSING
    assert book.record(asked(book, "news", 10), UNKNOWN, 10)
    assert not book.record(asked(book, "news", 100), UNKNOWN, 100)


def test_an_old_good_answer_is_used_until_the_next() -> None:
    book = TopicBook()
    answered(book, "news", 0, 5)
    later = 5 + topic_book.OK_SECONDS
    assert book.next_due() == later
    book.expire(later)
    assert not book.ok
    assert book.state("news", later) is TopicState.OK
    question = book.take(later)
    assert question is not None
    assert book.record(question, KafkaError.TOPIC_AUTHORIZATION_FAILED, later)
    assert book.state("news", later) is TopicState.FORBIDDEN


def test_an_answer_given_again_is_not_ended_by_the_end_of_the_first() -> None:
    book = TopicBook()
    answered(book, "news", 0, 5)
    book.forget("news")
    answered(book, "news", 0, 100)
    book.expire(5 + topic_book.OK_SECONDS)
    assert book.ok == {"news"}


def test_a_forgotten_topic_is_asked_for_again() -> None:
    book = TopicBook()
    answered(book, "news", 0, 5)
    book.forget("news")
    assert not book.ok
    assert book.state("news", 6) is TopicState.CHECKING
    assert book.take(6) is not None


def test_an_answer_older_than_the_failure_is_not_believed() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    book.forget("news")
    assert not book.record(question, 0, 5)
    assert book.state("news", 5) is TopicState.CHECKING


def test_a_forgotten_question_is_not_put() -> None:
    book = TopicBook()
    book.state("news", 5)
    book.forget("news")
    assert book.next_due() is None
    assert book.take(5) is None


def test_without_a_leader_it_is_neither_ok_nor_missing() -> None:
    book = TopicBook()
    for now in (5, 6, 7):
        assert book.state("news", now) is TopicState.CHECKING
        question = book.take(now)
        assert question is not None
        assert not book.record(question, KafkaError.LEADER_NOT_AVAILABLE, now)
    assert book.next_due() == 7 + topic_book.SLOWLY_SECONDS


def test_what_nobody_wants_any_more_is_not_asked_for_ever() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    assert not book.record(question, KafkaError.LEADER_NOT_AVAILABLE, 6 + topic_book.WANTED_SECONDS)
    assert book.next_due() is None


def test_a_silent_broker_is_asked_again_later() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    book.postpone(question, 6)
    assert book.take(6) is None
    assert book.take(6 + topic_book.SLOWLY_SECONDS) is question


def test_silence_does_not_use_up_our_patience() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    assert not book.record(question, UNKNOWN, 5)
    book.postpone(question, 6)
    assert not book.record(question, UNKNOWN, 7)


def test_silence_about_a_forgotten_topic_changes_nothing() -> None:
    book = TopicBook()
    question = asked(book, "news", 5)
    book.forget("news")
    book.postpone(question, 6)
    assert book.next_due() is None


def test_missing_topics_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_book, "MOST_REFUSALS", 10)
    book = TopicBook()
    answered(book, "news", 0, 0)
    for n in range(100):
        answered(book, f"typo-{n}", KafkaError.TOPIC_AUTHORIZATION_FAILED, 10.0 * n)
    assert len(book._answers) <= 12
    assert book.ok == {"news"}


class AnyUse(RuleBasedStateMachine):
    """Whatever happens in whatever order, `ok` holds what was last answered so, and no question gets lost."""

    topics = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.book = TopicBook()
        self.now = 0.0
        self.put: list[Question] = []
        self.wanted: dict[str, TopicState] = {}

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 20.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.book.expire(self.now)

    @rule(topic=topics)
    def look(self, topic: str) -> None:
        self.wanted[topic] = self.book.state(topic, self.now)

    @rule(topic=topics)
    def forget(self, topic: str) -> None:
        self.book.forget(topic)
        self.wanted.pop(topic, None)
        assert topic not in self.book.ok

    @rule()
    def take(self) -> None:
        question = self.book.take(self.now)
        if question is not None:
            assert all(question is not other for other in self.put)
            self.put.append(question)

    @precondition(lambda self: self.put)
    @rule(code=st.sampled_from([0, UNKNOWN, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.LEADER_NOT_AVAILABLE]))
    def answer(self, code: int) -> None:
        question = self.put.pop()
        if self.book.record(question, code, self.now):
            assert (question.topic in self.book.ok) == (code == 0)

    @precondition(lambda self: self.put)
    @rule()
    def silence(self) -> None:
        self.book.postpone(self.put.pop(), self.now)

    @invariant()
    def a_topic_being_checked_is_being_asked_for(self) -> None:
        for topic in [topic for topic, state in self.wanted.items() if state is TopicState.CHECKING]:
            if self.book.state(topic, self.now) is TopicState.CHECKING:
                under_way = any(question.topic == topic for question in self.put)
                assert under_way or self.book.next_due() is not None


TestAnyUse = AnyUse.TestCase
