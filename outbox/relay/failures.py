"""Whose fault a failed delivery is, and what that means for its event."""

from __future__ import annotations

import enum
from functools import lru_cache

from confluent_kafka import KafkaError

SERIALISATION = KafkaError._VALUE_SERIALIZATION
"""The code for an event that `produce()` refuses with a TypeError or ValueError, which carry none."""


class FailureClass(enum.Enum):
    POISON = "poison"
    """This event: the broker, or the client, will never take it."""
    TOPIC = "topic"
    """Its topic, for everyone or for this tenant: missing, forbidden, or closed to such events."""
    BROKER = "broker"
    """The cluster or the way to it, for everyone."""
    PROCESS = "process"
    """This producer, which is no longer of use: a new one has to take its place."""
    TRANSIENT = "transient"
    """Nobody: the producer has already recovered, and the event only has to be sent again."""
    AMBIGUOUS = "ambiguous"
    """Unknown, even whether the broker has the event; a probe tells a dead broker from a sick topic."""


class Disposition(enum.Enum):
    RETRY = "retry"
    """One attempt is burned, and the event waits for its backoff."""
    DEAD = "dead"
    """A dead letter."""
    NEUTRAL = "neutral"
    """Nothing is burned, and the event stays pending."""
    ISOLATE = "isolate"
    """Nothing is burned, and the event is sent again as a batch of its own: that shows whether it is bad."""


def classify(code: int) -> FailureClass:
    """The class of a librdkafka code, from a delivery report or from `produce()`.

    A code not listed is ambiguous: a permanent error that nobody foresaw still ends as a dead letter, as the
    broker answers, while trouble of the whole cluster burns nothing.
    """
    return _CLASS_OF.get(code, FailureClass.AMBIGUOUS)


@lru_cache(maxsize=512)
def error_class(code: int) -> str:
    """A short name to group failures by, such as `msg_size_too_large`; `code_7777` for one without."""
    name = KafkaError(code).name()
    return f"code_{code}" if name.startswith("ERR_") else name.strip("_").lower()


def decide(
    failure: FailureClass,
    *,
    attempts: int,
    max_attempts: int,
    broker_answered: bool | None,
    alone: bool = True,
) -> Disposition:
    """What becomes of an event that has failed now, and `attempts` times before.

    `broker_answered`: whether a metadata probe was answered while the delivery was under way; None when none
    has ended, and then nobody is blamed either. `alone`: whether `produce()` itself refused the event, or its
    batch held nothing else; a broker refuses a whole batch for one bad record.
    """
    if failure is FailureClass.POISON:
        return Disposition.DEAD if alone else Disposition.ISOLATE
    if failure is FailureClass.TOPIC or (failure is FailureClass.AMBIGUOUS and broker_answered):
        return Disposition.DEAD if attempts + 1 >= max_attempts else Disposition.RETRY
    return Disposition.NEUTRAL


_CODES: dict[FailureClass, tuple[int, ...]] = {
    FailureClass.POISON: (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError._BAD_MSG,
        KafkaError._INVALID_ARG,
        KafkaError._KEY_SERIALIZATION,
        KafkaError._VALUE_SERIALIZATION,
    ),
    FailureClass.TOPIC: (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        # The topic's own limits: segment size, clock skew, compression, format.
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    ),
    FailureClass.BROKER: (
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._AUTHENTICATION,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._NODE_UPDATE,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.UNACCEPTABLE_CREDENTIAL,
        KafkaError.SECURITY_DISABLED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.REBOOTSTRAP_REQUIRED,
    ),
    FailureClass.PROCESS: (
        KafkaError._FATAL,
        KafkaError._FENCED,
        KafkaError._STATE,
        KafkaError._DESTROY,
        KafkaError._INCONSISTENT,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._CRIT_SYS_RESOURCE,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    ),
    # Sequence bookkeeping that librdkafka repairs, mostly without a report; and innocents of a refused batch.
    FailureClass.TRANSIENT: (
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError._QUEUE_FULL,
    ),
    FailureClass.AMBIGUOUS: (
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.INVALID_MSG,
        KafkaError.UNKNOWN,
    ),
}
HOLDING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""Codes of a topic that is missing or forbidden: its events wait for it, once several tenants do."""

_CLASS_OF = {code: failure for failure, codes in _CODES.items() for code in codes}
