from tests.outbox.relay.conftest import MakeRelay, Tables, consumed
from tests.support.mock_cluster import MockCluster


def test_an_event_becomes_sent_with_its_receipt(
    make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    (event_id,) = tables.add("order-1")
    driver = make_relay()
    driver.until(lambda: tables.statuses(event_id) == ["sent"])
    row = tables.event(event_id)
    (received,) = consumed(mock_cluster)
    assert (row["kafka_partition"], row["kafka_offset"]) == (received.partition, received.offset)
    assert received.event_id == event_id
