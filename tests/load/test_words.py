"""What "every answer is judged" means: each word of it has a judge, and none of them quotes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

import specs
from load.gates import Figures, judge
from load.judge import BAD, PLAIN, exchange_of
from load.plan import make_plan
from load.profile import Profile, Stage
from load.record import Tally
from load.result import entry, sentences
from load.schedule import from_profile
from specs.examples import example_response
from tests.load_judged import NOW, good, told

SECRET = "sk-live-3f9a7c51e2"
Answer = tuple[int, bytes, bytes]


def of(api: str, operation: str, status: int | None = None) -> Answer:
    """Return a good answer of an operation, or the contract's own with an error status."""
    if status is None:
        _, code, head, body = good(api, operation)
        return code, head, body
    declared = specs.load(api)[operation]
    limit = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0",
             "x-ratelimit-reset": str(int(NOW) + 30)}  # fmt: skip
    code, headers, value = example_response(declared, status)
    if "retry-after" in headers:
        headers["retry-after"] = "40"
    lines = [f"{n}: {v}" for n, v in {**headers, **limit}.items()]
    text = "\r\n".join([f"HTTP/1.1 {code} X", *lines]) + "\r\n"
    return code, text.encode(), json.dumps(value).encode()


def changed(answer: Answer, change: Callable[[dict[str, Any]], object]) -> Answer:
    """Return an answer with its body changed."""
    value = json.loads(answer[2])
    change(value)
    return answer[0], answer[1], json.dumps(value).encode()


def without(answer: Answer, name: str) -> Answer:
    """Return an answer without a header."""
    lines = answer[1].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(name.encode() + b":")]
    return answer[0], b"\r\n".join(kept), answer[2]


def swapped(answer: Answer, name: str, value: str) -> Answer:
    """Return an answer with another value of a header."""
    status, head, body = without(answer, name)
    return status, head + f"{name}: {value}\r\n".encode(), body


GET, REFUSED = of("sovant", "memory.get"), of("sovant", "memory.get", 429)
FAILED = of("sovant", "memory.get", 500)
WORDS: list[tuple[str, Answer, str]] = [
    ("status", (202, GET[1], GET[2]), "CT2"),
    ("media type", swapped(GET, "content-type", "text/html"), "CT3"),
    ("schema", changed(GET, lambda v: v.pop("content")), "CT1"),
    ("envelope: code", changed(REFUSED, lambda v: v.pop("code")), "ER4"),
    ("envelope: request id", without(changed(FAILED, lambda v: v.pop("request_id")),
                                     "x-request-id"), "ER6"),
    ("rate limit: remaining over limit", swapped(GET, "x-ratelimit-remaining", "101"), "RL"),
    ("rate limit: reset in the past", swapped(GET, "x-ratelimit-reset", "1000"), "RL"),
    ("rate limit: absent", without(GET, "x-ratelimit-limit"), "CT7"),
    ("Retry-After on 429: absent", without(REFUSED, "retry-after"), "RA"),
    ("Retry-After on 429: garbage", swapped(REFUSED, "retry-after", "soon"), "RA1"),
    ("Retry-After on 503: garbage", swapped(of("sovant", "memory.get", 503), "retry-after",
                                            "soon"), "RA1"),
    ("Retry-After on 503: a date of the wrong form",
     swapped(of("sovant", "memory.get", 503), "retry-after", "2029-01-19"), "RA"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "answer", "requirement"), WORDS, ids=[w for w, _, _ in WORDS])
def test_each_word_has_a_judge(word: str, answer: Answer, requirement: str) -> None:
    """A damaged answer is never plainly good, and the oracle of that requirement names it."""
    made, *_ = good("sovant", "memory.get")
    assert made.quick(*answer, PLAIN, NOW) is BAD
    causes = told(made, *answer)
    assert any(cause.startswith(requirement) for cause in causes), causes


@pytest.mark.parametrize("answer", [GET, REFUSED, FAILED, of("sovant", "memory.get", 503)])
def test_what_is_not_damaged_is_not_named(answer: Answer) -> None:
    """The answers that the table damages are good as they are."""
    made, *_ = good("sovant", "memory.get")
    assert told(made, *answer) == []


def leaky(answer: Answer) -> Iterator[Answer]:
    """Yield answers with a secret wherever a body can carry text: values, keys, instead of it."""
    status, head, body = answer
    yield status, head, f"<html>{SECRET}</html>".encode()
    yield status, head, body[:-1] + f', "{SECRET}": 1'.encode()
    value = json.loads(body)
    for name in value:
        for put in (SECRET, [SECRET], {SECRET: SECRET}):
            yield status, head, json.dumps({**value, name: put}).encode()
    yield status, head, json.dumps({**value, SECRET: SECRET}).encode()


@pytest.mark.parametrize("answer", [GET, REFUSED, FAILED])
def test_no_output_of_a_run_quotes_a_body(answer: Answer) -> None:
    """Whatever stands in an answer's body, the entry, its words and its page rows never show it."""
    made, *_ = good("sovant", "memory.get")
    profile, contract = Profile(name="t", stages=(Stage(seconds=1, rate=1),)), specs.load("sovant")
    figures = Figures(contract, profile, make_plan(contract, profile), from_profile(profile),
                      Tally(), seconds=1)  # fmt: skip
    data = f'POST /x HTTP/1.1\r\nAuthorization: {SECRET}\r\n\r\n{{"a": "{SECRET}"}}'.encode()
    for each in leaky(answer):
        exchange = exchange_of(1, "memory.get", data, *each, 0.0, 0.1)
        for finding in made.explain(exchange, PLAIN, NOW):
            figures.tally.saw(finding)
    figures.tally.of("memory.get").sent = 1
    assert figures.tally.findings
    whole = entry(figures, base_url="http://h", wall_seconds=1)
    shown = [whole.model_dump_json(), *sentences(whole), repr([asdict(f) for f in judged(figures)])]
    assert SECRET not in "".join(shown)


def judged(figures: Figures) -> Iterator[Any]:
    """Yield every finding that the gates tell."""
    for result in judge(figures):
        yield from result.findings
