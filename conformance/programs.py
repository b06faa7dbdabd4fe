"""Programs that send a finding's requests again, by the standard library alone, and say what shows.

A program is text of at most `LINES_MAX` lines. `Looks` is how it compares answers, and how whoever
writes it knows what to expect: what differs from run to run (ids, names, times) counts only by
where it stood first. Nothing here sends.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

LINES_MAX = 40
"""Lines that a program may have."""
TIME = r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?"
WORD = r"(?=[\w.:+-]{8})[\w.:+-]*\d[\w.:+-]*"

Path = tuple[str | int, ...]


class Step(BaseModel):
    """One request of a program."""

    model_config = ConfigDict(frozen=True)

    method: str
    target: str
    """Path and query below the base URL."""
    headers: tuple[tuple[str, str], ...] = ()
    """Without credentials."""
    keys: tuple[tuple[str, str], ...] = ()
    """Headers that show a key, with the expression of their value, `"Bearer " + key["KEY"]`."""
    body: str = ""
    """As UTF-8; bytes that are none stand in it escaped as Python's `surrogateescape` does."""
    takes: tuple[tuple[str, Path], ...] = ()
    """Texts that later steps repeat, and where they stand in this one's answer."""

    @property
    def fields(self) -> str:
        """The headers as they stand in a program."""
        plain = [f"{n!r}: {v!r}" for n, v in self.headers]
        return "{" + ", ".join([*plain, *(f"{n!r}: {source}" for n, source in self.keys)]) + "}"

    def source(self, usual: str = "") -> str:
        """Return the step as it stands in a program; `usual` headers stand in it as `USUAL`."""
        fields = "USUAL" if self.fields == usual else self.fields
        takes = {text: list(path) for text, path in self.takes}
        return f"({self.method!r}, {self.target!r}, {fields}, {self.body!r}, {takes!r})"


class Moment(BaseModel):
    """Steps that are sent at once, after a wait."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[Step, ...]
    wait: float = 0.0
    """Seconds."""

    def source(self, usual: str) -> str:
        """Return the moment as it stands in a program; steps that are alike stand there once."""
        texts = [step.source(usual) for step in self.steps]
        if len(texts) > 1 and len(set(texts)) == 1:
            return f"({self.wait:g}, [{texts[0]}] * {len(texts)}),"
        return f"({self.wait:g}, [{', '.join(texts)}]),"


class Looks:
    """How answers look, seen in turn: what differs from run to run is told by a number."""

    def __init__(self, ours: Iterable[str] = ()) -> None:
        self._seen: dict[str, int] = {}
        self._ours = tuple(ours)

    def asked(self, request: str) -> None:
        """See a request: method, target and body. All are seen before the first answer."""
        self._alike(request)

    def __call__(self, status: int | None, text: str) -> str:
        """Return how one answer looks."""
        with suppress(ValueError):
            text = json.dumps(self._own(json.loads(text)), sort_keys=True)
        return f"{status} {self._alike(text)}"

    def _own(self, value: Any) -> Any:
        """Return a value whose lists hold what has a name of ours, if anything in them has."""
        if isinstance(value, dict):
            return {name: self._own(inner) for name, inner in value.items()}
        if not isinstance(value, list):
            return value
        kept = [x for x in value if any(n in json.dumps(x) for n in self._ours)]
        return [self._own(inner) for inner in kept or value]

    def _alike(self, text: str) -> str:
        seen = self._seen
        return re.sub(
            WORD, lambda m: f"#{seen.setdefault(m[0], len(seen))}", re.sub(TIME, "TIME", text)
        )


HEAD = '''\
"""{what}
Run: KEY=... python3 this.py [BASE_URL]. Ends with 1 if it shows, with 0 if it does not."""
import contextlib, functools, hashlib, http.client, json, os, re, secrets, sys, threading, time, types, urllib.parse
BASE, key = urllib.parse.urlsplit(sys.argv[1] if len(sys.argv) > 1 else {base!r}), os.environ
USUAL, quote = {usual}, urllib.parse.quote
MOMENTS = [  # (wait, [(method, target, headers, body, {{what later steps repeat: where it stands}})])
{moments}]
put = lambda text: re.sub("|".join(map(re.escape, names)), lambda m: names[m[0]], text)
def ask(place, method, target, headers, body, takes):
    link = (http.client.HTTPSConnection if BASE.scheme == "https" else http.client.HTTPConnection)(BASE.hostname, BASE.port, timeout=30)
    target, body, fields = put(target), put(body), {{n: put(v) for n, v in headers.items()}}
    status, header, text, data = None, {{}}, "", None
    with contextlib.suppress(ValueError, OSError, http.client.HTTPException):
        link.request(method, BASE.path.rstrip("/") + target, body.encode("utf-8", "surrogateescape") or None, fields)
        status, header = (got := link.getresponse()).status, {{n.lower(): v for n, v in got.getheaders()}}
        data = json.loads(text := got.read().decode("utf-8", "replace"))
    answers[place] = types.SimpleNamespace(status=status, header=header, text=text, data=data, asked=f"{{method}} {{target}} {{body}}")
    print(method, target, ascii(body[:200]), "->", status, ascii(text[:200]))
    for old, value in [(old, str(functools.reduce(lambda v, part: v[part], path, data))) for old, path in takes.items()]:
        names.update({{old: value, quote(old, ""): quote(value, "")}})
'''  # noqa: E501
LOOK = f"""\
def own(v):  # of a list what has a name of ours, if anything in it has
    kept = [x for x in v if any(n in json.dumps(x) for n in names.values())] if isinstance(v, list) else []
    return {{n: own(x) for n, x in v.items()}} if isinstance(v, dict) else [own(x) for x in kept or v] if isinstance(v, list) else v
def alike(text):  # ids, names and times differ from run to run: only where each stood first counts
    return re.sub({WORD!r}, lambda m: f"#{{seen.setdefault(m[0], len(seen))}}", re.sub({TIME!r}, "TIME", text))
def looks(*places):
    _ = [alike(answers[n].asked) for n in sorted(answers)]
    return [f"{{a.status}} {{alike(a.text if a.data is None else json.dumps(own(a.data), sort_keys=True))}}" for a in map(answers.get, places)]
"""  # noqa: E501
"""`Looks`, as a program has it."""
REST = """\
for turn in range({times}):
    names, answers, seen, _ = {{{run!r}: secrets.token_hex({half})}}, {{}}, {{}}, time.sleep({pause} * bool(turn))
    for wait, steps in MOMENTS:
        crew = [threading.Thread(target=ask, args=(len(answers) + n, *s)) for n, s in enumerate(steps)]
        _ = time.sleep(wait), [each.start() for each in crew], [each.join() for each in crew]
    with contextlib.suppress(LookupError, TypeError, AttributeError):
        if (lambda status, header, text, data: {shows})(**{{n: getattr(answers[max(answers)], n) for n in ("status", "header", "text", "data")}}):
            sys.exit({message!r})
"""  # noqa: E501


def program(
    base_url: str,
    run: str,
    moments: Sequence[Moment],
    shows: str,
    message: str,
    times: int = 1,
    pause: float = 0,
) -> str:
    """Return a program; '' if it would be longer than `LINES_MAX`.

    `run` is the part of names that is another one whenever the program runs. `shows` is an
    expression over the last answer (`status`, `header`, `text`, `data`), over all `answers` by
    number, and over how they `look`. It is tried `times` times, `pause` seconds apart.
    """
    fields = Counter(step.fields for moment in moments for step in moment.steps)
    usual = max(fields, key=lambda each: (fields[each], each))
    rest = (LOOK if "looks(" in shows else "") + REST.format(
        times=times, pause=pause, run=run, half=max(1, len(run) // 2), shows=shows, message=message
    )
    what = message.replace("\\", "/").replace('"""', "'")
    room = max(1, LINES_MAX - (HEAD + rest).count("\n"))
    lines = _packed([moment.source(usual) for moment in moments], room)
    return HEAD.format(what=what, base=base_url, usual=usual, moments=lines) + rest


PLAIN_KEY = re.compile(r"""(?:'([^'"\\\\]*)' \+ )?key\["(\w+)"\]""")


def curl(base_url: str, step: Step) -> str:
    """Return one request as a line for a shell; '' where a shell cannot say it plainly."""
    keys = [(name, PLAIN_KEY.fullmatch(source)) for name, source in step.keys]
    if any(found is None for _, found in keys) or not step.body.isprintable():
        return ""
    words = ["curl -sS -i"]
    if step.method != "GET" or step.body:
        words.append(f"-X {step.method}")
    words.append(shlex.quote(base_url.rstrip("/") + step.target))
    words += [f"-H {shlex.quote(f'{n}: {v}')}" for n, v in step.headers]
    words += [f'-H "{n}: {found[1] or ""}${found[2]}"' for n, found in keys if found]
    if step.body:
        words.append(f"--data-binary {shlex.quote(step.body)}")
    return " ".join(words)


def _packed(moments: Sequence[str], room: int) -> str:
    """Return the moments, each on a line of its own where there is room for that."""
    alike = [(text, len(list(same))) for text, same in itertools.groupby(moments)]
    rows = [text if count == 1 else f"*[{text[:-1]}] * {count}," for text, count in alike]
    each = -(-len(rows) // room)
    rows = [" ".join(rows[n : n + each]) for n in range(0, len(rows), each)]
    return "".join(f"    {row}\n" for row in rows)
