"""Lawful spellings of a right answer: each means what the plain answer means."""

from __future__ import annotations

import gzip
import json
import zlib

import brotli
import pytest

from conformance.faults.answers import Answer
from conformance.faults.spellings import EVENTS, JSON, Spelling, zstd
from conformance.history import Request, header

PLAIN = Answer(200, (("content-type", "application/json"),), b'{"text":"Zo\\u00eb","n":[1]}')
ASKING = Request("GET", "/", (("accept-encoding", "gzip, deflate;q=0.5, br, zstd"),))
UNPACK = {
    "gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress,
    "zstd": lambda data: data[12:],
}  # fmt: skip


@pytest.mark.parametrize("spelling", JSON, ids=lambda s: s.id)
def test_json_means_the_same(spelling: Spelling) -> None:
    """Unpacked as its headers say, a spelling is the plain answer's value under its media type."""
    made = spelling.write(PLAIN, ASKING)
    assert made is not None
    coding = header(made.headers, "content-encoding")
    body = UNPACK[coding](made.body) if coding else made.body
    assert json.loads(body.decode("utf-8")) == json.loads(PLAIN.body)
    assert (header(made.headers, "content-type") or "").lower().startswith("application/json")
    assert made != PLAIN or spelling.id == "utf-8"


@pytest.mark.parametrize("coding", list(UNPACK))
def test_no_coding_that_nobody_asked_for(coding: str) -> None:
    """What a client does not ask for, or refuses by q=0, is not sent to it."""
    spelling = next(s for s in JSON if s.id == coding)
    assert spelling.write(PLAIN, Request("GET", "/")) is None
    refusing = Request("GET", "/", (("accept-encoding", f"{coding}; q=0"),))
    assert spelling.write(PLAIN, refusing) is None


def test_zstd_frames_of_raw_blocks() -> None:
    """A frame names its size in four bytes, and cuts long data into blocks of 64 KiB."""
    assert zstd(b"abc") == bytes.fromhex("28b52ffd a0 03000000 190000") + b"abc"
    assert len(zstd(b"a" * 131_072)) == 9 + 2 * 3 + 131_072


STREAM = b'data: {"type":"delta","data":"First "}\n\ndata: {"type":"done"}\n\n'


@pytest.mark.parametrize("spelling", [s for s in EVENTS if s.id != "foreign"], ids=lambda s: s.id)
def test_events_mean_the_same(spelling: Spelling) -> None:
    """Read as the HTML standard says, a spelling gives the plain stream's events."""
    made = spelling.write(Answer(200, (), STREAM), ASKING)
    assert made is not None
    assert made.body != STREAM
    text = made.body.decode().replace("\r\n", "\n").replace("\r", "\n")
    events = []
    for block in text.split("\n\n"):
        data = [x[5:].removeprefix(" ") for x in block.split("\n") if x.startswith("data:")]
        if data:
            events.append(json.loads("\n".join(data)))
    assert events == [{"type": "delta", "data": "First "}, {"type": "done"}]
