"""The embedded backend's memory: one SQLite file with documents, words, counters, traffic and keys.

Everything that must survive a restart goes through here, and every write belongs to a
transaction that the caller opens. The store knows spaces (one per tenant, API and collection)
and JSON documents; what a document means is for the adapters.

The file is in WAL mode, so several worker processes can share it; `synchronous=NORMAL` keeps
acknowledged writes over the death of a process. Times are seconds since the epoch.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (
  id INTEGER PRIMARY KEY, api TEXT NOT NULL, tenant TEXT NOT NULL, collection TEXT NOT NULL,
  UNIQUE (api, tenant, collection)
);
CREATE TABLE IF NOT EXISTS documents (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, id TEXT NOT NULL,
  visible REAL NOT NULL, body TEXT NOT NULL, UNIQUE (space, id)
);
CREATE INDEX IF NOT EXISTS documents_in_order ON documents (space, seq);
CREATE TABLE IF NOT EXISTS words (
  space INTEGER NOT NULL, word TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (space, word, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  space INTEGER NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL, status INTEGER NOT NULL,
  body TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (space, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
  space INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (space, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
  space INTEGER NOT NULL, day INTEGER NOT NULL, operation TEXT NOT NULL,
  requests INTEGER NOT NULL, errors INTEGER NOT NULL, received INTEGER NOT NULL,
  sent INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (space, day, operation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (one INTEGER PRIMARY KEY CHECK (one=1), value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS credentials (
  hash TEXT NOT NULL, api TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL,
  rights TEXT NOT NULL,
  PRIMARY KEY (hash, api)
) WITHOUT ROWID;
"""

_WORD = re.compile(r"\w+")
MAX_WORDS = 512
"""Different words kept for one document; more would let one body fill the index."""
MAX_OFFSET = 2**62
"""SQLite's integers end at 2**63; a larger offset is past the end all the same."""


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document."""

    seq: int
    id: str
    visible: float
    """From when on it can be seen, seconds since the epoch."""
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on documents: an SQL expression over `body` and what its marks stand for."""

    sql: str
    values: tuple[Any, ...] = ()


def words(text: str) -> list[str]:
    """Return the different words of a text, case folded, in order of first appearance.

    A text without letters and digits is taken sign by sign, so that it can be found too.
    """
    folded = text.casefold()
    found = _WORD.findall(folded) or [sign for sign in folded if not sign.isspace()]
    return list(dict.fromkeys(found))[:MAX_WORDS]


def encode(value: Any) -> str:
    """Return JSON as it is kept and sent: compact, not escaped."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Store:
    """One connection to the file. Not for use from two threads at once."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=30
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA temp_store=MEMORY")
        self._db.executescript("BEGIN IMMEDIATE;" + SCHEMA + "COMMIT;")
        self._db.execute("INSERT OR IGNORE INTO secrets VALUES (1, ?)", (token_bytes(32),))
        self.secret: bytes = self._db.execute("SELECT value FROM secrets").fetchone()[0]
        """What cursors are signed with; the same in every process on one file."""
        self._spaces: dict[tuple[str, str, str], int] = {}
        self._run = self._db.execute

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._db.close()

    # -- transactions ---------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the file's write lock; an exception takes back everything since."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one state of the file throughout."""
        self._run("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    @contextmanager
    def part(self) -> Iterator[None]:
        """Take back only what happened inside where it fails; inside `writing`."""
        self._run("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK TO part")
            self._run("RELEASE part")
            raise
        self._run("RELEASE part")

    # -- spaces ---------------------------------------------------------------------------

    def space(self, api: str, tenant: str, collection: str) -> int:
        """Return the number of a space, made on first sight."""
        key = (api, tenant, collection)
        number = self._spaces.get(key)
        if number is None:
            self._run("INSERT OR IGNORE INTO spaces (api, tenant, collection) VALUES (?,?,?)", key)
            row = self._run(
                "SELECT id FROM spaces WHERE api=? AND tenant=? AND collection=?", key
            ).fetchone()
            number = int(row[0])
            if not self._db.in_transaction:
                self._spaces[key] = number
        return number

    # -- documents ------------------------------------------------------------------------

    def insert(
        self, space: int, id: str, body: dict[str, Any], visible: float, text: str = ""
    ) -> int:
        """Add a document and return its place in the order; `text` is what search looks at.

        Raises sqlite3.IntegrityError where the space already has the id.
        """
        cursor = self._run(
            "INSERT INTO documents (space, id, visible, body) VALUES (?,?,?,?)",
            (space, id, visible, encode(body)),
        )
        seq = int(cursor.lastrowid or 0)
        self._index(space, seq, text)
        return seq

    def get(self, space: int, id: str, now: float) -> Document | None:
        """Return a document, None where there is none that can be seen at `now`."""
        row = self._run(
            "SELECT seq, id, visible, body FROM documents WHERE space=? AND id=? AND visible<=?",
            (space, id, now),
        ).fetchone()
        return _document(row) if row else None

    def raw(self, space: int, id: str, now: float) -> str | None:
        """Return a document's body as it is kept, JSON; None where it cannot be seen."""
        row = self._run(
            "SELECT body FROM documents WHERE space=? AND id=? AND visible<=?", (space, id, now)
        ).fetchone()
        return row[0] if row else None

    def replace(
        self, space: int, document: Document, body: dict[str, Any], old: str = "", new: str = ""
    ) -> None:
        """Give a document a new body; `old` and `new` are what search looked and shall look at."""
        self._run("UPDATE documents SET body=? WHERE seq=?", (encode(body), document.seq))
        if old != new:
            self._unindex(space, document.seq, old)
            self._index(space, document.seq, new)

    def delete(self, space: int, document: Document, text: str = "") -> None:
        """Remove a document and the words of its `text`."""
        self._run("DELETE FROM documents WHERE seq=?", (document.seq,))
        self._unindex(space, document.seq, text)

    def hide(self, space: int, document: Document, text: str = "") -> None:
        """Make a document unreachable by its id alone; only a defect wants that."""
        self._run(
            "UPDATE documents SET id=?, body=json_set(body, ?, 1) WHERE seq=?",
            (f"gone:{document.seq}", _path(GONE), document.seq),
        )
        self._unindex(space, document.seq, text)

    def find(
        self,
        space: int,
        now: float,
        where: Sequence[Where] = (),
        order: str = "seq",
        limit: int = -1,
        offset: int = 0,
    ) -> list[Document]:
        """Return the documents that fit every condition; `order` is an SQL expression of ours."""
        sql, values = _conditions(where)
        rows = self._run(
            "SELECT seq, id, visible, body FROM documents WHERE space=? AND visible<=?"  # noqa: S608 - only our own expressions
            f"{sql} ORDER BY {order} LIMIT ? OFFSET ?",
            (space, now, *values, limit, min(offset, MAX_OFFSET)),
        )
        return [_document(row) for row in rows]

    def count(self, space: int, now: float, where: Sequence[Where] = ()) -> int:
        """Return how many documents fit every condition."""
        sql, values = _conditions(where)
        row = self._run(
            f"SELECT count(*) FROM documents WHERE space=? AND visible<=?{sql}",  # noqa: S608
            (space, now, *values),
        ).fetchone()
        return int(row[0])

    def search(
        self,
        space: int,
        now: float,
        query: str,
        where: Sequence[Where] = (),
        limit: int = -1,
        minimum: float = 0.0,
        offset: int = 0,
    ) -> list[tuple[float, Document]]:
        """Return what shares words with `query`, best first, newest first among equals.

        The score is the share of the query's words that a document has, above 0 and at most 1.
        """
        wanted = words(query)[:64]
        if not wanted:
            return []
        sql, values = _conditions(where)
        marks = ",".join("?" * len(wanted))
        needed = max(1, -(-minimum * len(wanted) // 1))
        rows = self._run(
            "SELECT documents.seq, id, visible, body, hits FROM (SELECT seq, count(*) AS hits "  # noqa: S608
            f"FROM words WHERE space=? AND word IN ({marks}) GROUP BY seq HAVING hits>=?) AS found "
            f"JOIN documents ON documents.seq=found.seq WHERE visible<=?{sql} "
            "ORDER BY hits DESC, documents.seq DESC LIMIT ? OFFSET ?",
            (space, *wanted, needed, now, *values, limit, min(offset, MAX_OFFSET)),
        )
        return [(row[4] / len(wanted), _document(row)) for row in rows]

    def _index(self, space: int, seq: int, text: str) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO words (space, word, seq) VALUES (?,?,?)",
            [(space, word, seq) for word in words(text)],
        )

    def _unindex(self, space: int, seq: int, text: str) -> None:
        self._db.executemany(
            "DELETE FROM words WHERE space=? AND word=? AND seq=?",
            [(space, word, seq) for word in words(text)],
        )

    # -- answers kept for repeated requests -------------------------------------------------

    def answer(self, space: int, key: str, since: float) -> tuple[str, int, Any] | None:
        """Return (payload, status, body) kept under a key since a time; None where none is."""
        row = self._run(
            "SELECT payload, status, body FROM answers WHERE space=? AND key=? AND at>=?",
            (space, key, since),
        ).fetchone()
        return (row[0], row[1], json.loads(row[2])) if row else None

    def keep_answer(
        self, space: int, key: str, payload: str, status: int, body: Any, now: float
    ) -> None:
        """Keep what was answered under a key."""
        self._run(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)",
            (space, key, payload, status, encode(body), now),
        )

    # -- counters ---------------------------------------------------------------------------

    def add(self, space: int, name: str, amount: int = 1) -> int:
        """Add to a counter and return its value."""
        row = self._run(
            "INSERT INTO counters VALUES (?,?,?) ON CONFLICT DO UPDATE SET value=value+? "
            "RETURNING value",
            (space, name, amount, amount),
        ).fetchone()
        return int(row[0])

    def counters(self, space: int) -> dict[str, int]:
        """Return every counter of a space."""
        return dict(self._run("SELECT name, value FROM counters WHERE space=?", (space,)))

    # -- traffic ----------------------------------------------------------------------------

    def count_traffic(
        self, space: int, row: tuple[int, str], sums: tuple[int, int, int, int, float]
    ) -> None:
        """Add sums (requests, errors, received, sent, seconds) to a row (day, operation)."""
        self._run(
            "INSERT INTO traffic VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
            "requests=requests+excluded.requests, errors=errors+excluded.errors, "
            "received=received+excluded.received, sent=sent+excluded.sent, "
            "seconds=seconds+excluded.seconds",
            (space, *row, *sums),
        )

    def traffic(self, space: int, first: int, last: int) -> list[tuple[Any, ...]]:
        """Return the rows (day, operation, *sums) between two days, both included."""
        return self._run(
            "SELECT day, operation, requests, errors, received, sent, seconds FROM traffic "
            "WHERE space=? AND day BETWEEN ? AND ? ORDER BY day, operation",
            (space, first, last),
        ).fetchall()

    def requests(self, space: int) -> int:
        """Return how many requests were counted altogether."""
        row = self._run(
            "SELECT coalesce(sum(requests), 0) FROM traffic WHERE space=?", (space,)
        ).fetchone()
        return int(row[0])

    # -- keys made through an API -------------------------------------------------------------

    def grant(self, hash: str, api: str, id: str, tenant: str, rights: dict[str, Any]) -> None:
        """Let a key in, with rights that `granted` gives back."""
        self._run(
            "INSERT INTO credentials VALUES (?,?,?,?,?)", (hash, api, id, tenant, encode(rights))
        )

    def revoke(self, api: str, tenant: str, id: str) -> None:
        """Let a key in no longer."""
        self._run("DELETE FROM credentials WHERE api=? AND tenant=? AND id=?", (api, tenant, id))

    def granted(self, hash: str, api: str) -> tuple[str, dict[str, Any]] | None:
        """Return (tenant, rights) behind a key's hash; None where nobody is."""
        row = self._run(
            "SELECT tenant, rights FROM credentials WHERE hash=? AND api=?", (hash, api)
        ).fetchone()
        return (row[0], json.loads(row[1])) if row else None


GONE = "#gone"
"""Property that marks what `hide` has hidden."""
NOT_GONE = Where("json_extract(body, '$.\"#gone\"') IS NULL")


def _document(row: Sequence[Any]) -> Document:
    return Document(row[0], row[1], row[2], json.loads(row[3]))


def _conditions(where: Sequence[Where]) -> tuple[str, tuple[Any, ...]]:
    sql = "".join(f" AND ({each.sql})" for each in where)
    return sql, tuple(value for each in where for value in each.values)


def equal(name: str, value: Any) -> Where:
    """The property `name` has this value."""
    return Where("json_extract(body, ?)=?", (_path(name), value))


def contains(name: str, value: Any) -> Where:
    """The array `name` has this entry."""
    return Where("EXISTS (SELECT 1 FROM json_each(body, ?) WHERE value=?)", (_path(name), value))


def at_least(name: str, value: Any) -> Where:
    """The property `name` is not below this value."""
    return Where("json_extract(body, ?)>=?", (_path(name), value))


def at_most(name: str, value: Any) -> Where:
    """The property `name` is not above this value."""
    return Where("json_extract(body, ?)<=?", (_path(name), value))


def after(seq: int, descending: bool = False) -> Where:
    """The document comes after this place in the order of a list."""
    return Where("seq<?" if descending else "seq>?", (seq,))


def _path(name: str) -> str:
    return f'$."{name}"'
