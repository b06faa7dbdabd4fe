"""The embedded backend's quotas: the four algorithms, their headers, and who shares one."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.reference.backend import limits
from conformance.reference.backend.keys import KeySpec
from conformance.reference.backend.limits import ALGORITHMS, Decision, LocalBook, SharedBook
from conformance.reference.defects import Defects
from specs.vocabulary import Basis, Policy, RateLimit
from tests.local_backend import FIRST, SECOND, Local

PERFECT = Defects()
steps = st.lists(st.floats(0, 3), min_size=1, max_size=60)


def admitted(name: str, policy: Policy, gaps: list[float]) -> list[tuple[float, Decision]]:
    """Return when each request came and what was decided."""
    book, now, found = LocalBook(), 1_000.25, []
    for gap in gaps:
        now += gap
        found.append((now, book.take("k", policy, ALGORITHMS[name], now)))
    return found


@given(gaps=steps, q=st.integers(1, 5))
def test_a_fixed_window_admits_its_quota_in_each_window(gaps: list[float], q: int) -> None:
    """No window, as told by the reset, admits more than the quota."""
    by_window: dict[float, int] = {}
    for _, decision in admitted("fixed-window", Policy(q=q, w=4), gaps):
        count = by_window.get(decision.reset, 0) + decision.admitted
        by_window[decision.reset] = count
    assert max(by_window.values()) <= q


@given(gaps=steps, q=st.integers(1, 5))
def test_a_sliding_window_admits_its_quota_in_any_interval(gaps: list[float], q: int) -> None:
    """No interval of the window's length holds more admissions than the quota."""
    times = [at for at, d in admitted("sliding-window", Policy(q=q, w=4), gaps) if d.admitted]
    assert all(sum(start <= at < start + 4 for at in times) <= q for start in times)


@pytest.mark.parametrize("name", ["fixed-window", "token-bucket"])
def test_a_process_that_comes_late_brings_no_quota_back(name: str) -> None:
    """Who looked at the clock before another one was served counts in what that one left."""
    policy, book = Policy(q=2, w=4), LocalBook()
    times = [1_004.1, 1_003.9, 1_004.2, 1_005.3]
    taken = [book.take("k", policy, ALGORITHMS[name], now) for now in times]
    assert [True, True, False, False] == [d.admitted for d in taken]


@pytest.mark.parametrize("name", ["token-bucket", "gcra"])
@given(gaps=steps, q=st.integers(1, 5))
def test_buckets_admit_burst_and_rate(name: str, gaps: list[float], q: int) -> None:
    """No interval holds more admissions than the burst and what the rate adds in it."""
    times = [at for at, d in admitted(name, Policy(q=q, w=4), gaps) if d.admitted]
    for i, start in enumerate(times):
        for j, end in enumerate(times[i:], i):
            assert j - i + 1 <= q + (end - start) * q / 4 + 1e-6


@pytest.mark.parametrize("name", ALGORITHMS)
@given(gaps=steps, q=st.integers(1, 5))
def test_waiting_as_told_is_enough(name: str, gaps: list[float], q: int) -> None:
    """A lone client that waits out a refusal's Retry-After is admitted; refusals cost nothing."""
    policy, book, now = Policy(q=q, w=4), LocalBook(), 1_000.25
    for gap in gaps:
        now += gap
        decision = book.take("k", policy, ALGORITHMS[name], now)
        if not decision.admitted:
            told = limits.retry_after(decision, now, PERFECT)
            assert told is not None
            now += int(told)
            assert book.take("k", policy, ALGORITHMS[name], now).admitted


@pytest.mark.parametrize("name", ALGORITHMS)
@given(gaps=steps, q=st.integers(1, 5))
def test_what_remains_is_what_is_admitted(name: str, gaps: list[float], q: int) -> None:
    """What remains lies between nothing and the quota, and a refusal says that nothing does."""
    for _, decision in admitted(name, Policy(q=q, w=4), gaps):
        assert 0 <= decision.remaining <= q
        assert decision.admitted or decision.remaining == 0
        assert decision.admitted == (decision.wait == 0)


def test_shared_and_local_books_decide_alike(tmp_path: object) -> None:
    """Several processes on one file count as one process does."""
    policy = Policy(q=3, w=4)
    for name, algorithm in ALGORITHMS.items():
        first = SharedBook(f"{tmp_path}/{name}")
        second = SharedBook(f"{tmp_path}/{name}")
        local, now = LocalBook(), 50.0
        for number in range(12):
            now += 0.4
            book = first if number % 2 else second
            assert local.peek("k", policy, algorithm, now) == book.peek("k", policy, algorithm, now)
            assert local.take("k", policy, algorithm, now) == book.take("k", policy, algorithm, now)


def declared(headers: str, **more: object) -> RateLimit:
    """Return a declaration of rate-limit headers."""
    return RateLimit(basis=Basis.DOCUMENTED, headers=headers, **more)  # type: ignore[arg-type]


SPENT = Decision(True, 10, 4, 1_000_030.0, 0.0, 60.0)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (declared("none"), {}),
        (declared("draft-6"), {"ratelimit-limit": "10", "ratelimit-remaining": "4",
                               "ratelimit-reset": "30"}),
        (declared("draft-7"), {"ratelimit-policy": "10;w=60",
                               "ratelimit": "limit=10, remaining=4, reset=30"}),
        (declared("draft-8"), {"ratelimit-policy": '"default";q=10;w=60',
                               "ratelimit": '"default";r=4;t=30'}),
        (declared("x-ratelimit", reset_unit="epoch-seconds"),
         {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "4",
          "x-ratelimit-reset": "1000030"}),
        (declared("x-ratelimit", reset_unit="epoch-ms", reset="X-Reset", limit="X-Most",
                  remaining="X-Left"),
         {"x-most": "10", "x-left": "4", "x-reset": "1000030000"}),
        (declared("x-ratelimit", reset_unit="delta-seconds", remaining="x-left"),
         {"x-left": "4"}),
    ],
    ids=["none", "draft-6", "draft-7", "draft-8", "x", "milliseconds", "remaining-only"],
)  # fmt: skip
def test_headers_have_the_declared_form(rule: RateLimit, expected: dict[str, str]) -> None:
    """Each generation of rate-limit headers is written as its standard or contract says."""
    found = limits.headers(rule, SPENT, 1_000_000.0, PERFECT)
    assert expected == {name.lower(): value for name, value in found}


def test_a_reset_can_be_an_http_date() -> None:
    """The window's end as an HTTP date is an IMF-fixdate."""
    rule = declared("x-ratelimit", reset="x-reset", reset_unit="http-date")
    text = dict(limits.headers(rule, SPENT, 1_000_000.0, PERFECT))["x-reset"]
    assert 1_000_030 == parsedate_to_datetime(text).timestamp()
    assert text.endswith(" GMT")


@pytest.mark.parametrize("text", ["", "100", "0/1", "1/0", "a/b", "1/2/3/4", "1/2/leaky"])
def test_a_rate_limit_that_makes_no_sense_is_refused(text: str) -> None:
    """What is wrong with a limit is said, with the text that was given."""
    with pytest.raises(ValueError, match=f"rate limit '{text}'"):
        limits.parse(text)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_exhaustion_is_told_and_ends(algorithm: str) -> None:
    """The quota is admitted and no more; after exactly Retry-After a request is admitted again."""
    local = Local(rate_limit=f"3/10/{algorithm}")
    asked = [local.ask("sovant", "GET", "/api/v1/keys") for _ in range(5)]
    assert [200, 200, 200, 429, 429] == [a.status_code for a in asked]
    assert ["2", "1", "0", "0", "0"] == [a.headers["x-ratelimit-remaining"] for a in asked]
    local.clock.sleep(int(asked[-1].headers["retry-after"]))
    assert 200 == local.ask("sovant", "GET", "/api/v1/keys").status_code


def test_a_window_ends_when_the_reset_says() -> None:
    """One second before the reset a used-up window still refuses; at the reset it admits."""
    local = Local(rate_limit="1/10")
    end = int(local.ask("sovant", "GET", "/api/v1/keys").headers["x-ratelimit-reset"])
    local.clock.sleep(end - local.clock.time() - 1)
    assert 429 == local.ask("sovant", "GET", "/api/v1/keys").status_code
    local.clock.sleep(1)
    assert 200 == local.ask("sovant", "GET", "/api/v1/keys").status_code


def test_a_refused_write_stores_nothing() -> None:
    """What is refused for the quota has no effect."""
    local = Local(rate_limit="2/10")
    for _ in range(4):
        local.ask("sovant", "POST", "/api/v1/memory", {"content": "a"})
    local.clock.sleep(10)
    assert 2 == local.ask("sovant", "GET", "/api/v1/memory").json()["total"]


def test_each_key_has_a_quota_of_its_own() -> None:
    """One key's use costs another nothing, the same tenant's neither."""
    keys = {
        "a": KeySpec(FIRST, "tenant-1"),
        "b": KeySpec(SECOND, "tenant-1"),
        "c": KeySpec("generous-key", "tenant-1", rate_limit="50/10"),
    }
    local = Local(keys=keys, rate_limit="1/10")
    told = [
        local.ask("octamem", "POST", "/api/memory/details", {}, key=key).status_code
        for key in (FIRST, FIRST, SECOND, "generous-key", "generous-key")
    ]
    assert [200, 429, 200, 200, 200] == told


def test_nobody_without_a_key_uses_up_a_quota() -> None:
    """Requests that show no valid key are refused as such, however many there are."""
    local = Local(rate_limit="1/10")
    told = {local.ask("sovant", "GET", "/api/v1/keys", key=None).status_code for _ in range(5)}
    assert {401} == told
