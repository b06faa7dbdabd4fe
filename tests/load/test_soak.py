"""A soak: what very many requests leave behind in the generator is bounded."""

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.bench.soak import growth, per_write


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace allocations while a test runs."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held() -> int:
    """Return the bytes of objects that are alive."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("traced")
def test_statistics_of_more_requests_take_no_more_memory() -> None:
    """Judged, counted, some of them wrong: the second half of a soak adds next to nothing."""
    sizes = [size for _, size in growth(20_000, held)]
    assert sizes[-1] - sizes[4] < 10_000 * 8  # eight bytes a request would be one list too many


@pytest.mark.usefixtures("traced")
def test_an_acknowledged_write_costs_the_ledger_little() -> None:
    """The ledger must remember each write: below a kilobyte and a half of each."""
    assert 0 < per_write(3_000, held) < 1_500
