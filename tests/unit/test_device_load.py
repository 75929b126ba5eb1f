import pytest

from consumers.device_load import DeviceLoad


def test_a_batch_counts_while_it_is_there_not_when_it_ends() -> None:
    load = DeviceLoad(2)
    load.begin(10.0)
    assert load.busy_s(14.5) == pytest.approx(4.5)
    assert load.batches == 1
    load.end(15.0)
    assert load.busy_s(20.0) == pytest.approx(5.0)


def test_no_more_than_the_places_are_busy() -> None:
    load = DeviceLoad(2)
    for _ in range(5):
        load.begin(1.0)
    assert load.busy_s(2.0) == pytest.approx(2.0)
    assert load.batches == 5
    for _ in range(4):
        load.end(3.0)
    assert load.busy_s(4.0) == pytest.approx(5.0)
