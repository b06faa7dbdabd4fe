"""The calls of a probe: create, read, list, search, change, delete, and a few that are refused.

Every record is the probe's own and is deleted at the end; kinds of records that nothing deletes
are not created at all. What an answer shows otherwise than guessed mends the guess; what cannot
be told becomes a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.backend.effects import read_arguments, search_arguments
from conformance.backend.listing import max_size, walk
from conformance.backend.probing import noticing
from conformance.backend.probing.paging import look_at_paging
from conformance.backend.probing.places import settle
from conformance.backend.probing.refusals import Refusals
from conformance.backend.subject import BackendSubject
from conformance.backend.suite import probe
from conformance.backend.world import Made, creators, operations_on, properties, required
from conformance.history import Exchange
from conformance.oracles.found import ok, told, value_at
from conformance.verdict import Inconclusive, NotApplicable
from specs import Basis, Contract, Operation
from specs.contract import from_document
from specs.draft import Draft, Guess, applied, sound
from specs.draft.effects import TEXTS
from specs.draft.shapes import plain
from specs.effects import at
from specs.exclusions import excluded

TRIED = 4
"""Ids that are tried on a read until one of them names the record."""
WORDS_MAX = 120
"""Characters of an error answer that a question quotes."""


def described(made: Draft) -> Contract:
    """Return the contract that a draft makes of its description."""
    return from_document(applied(made), made.contract.path)


def confirm(made: Draft, subject: BackendSubject) -> list[str]:
    """Try a draft's guesses on a server; return what was left behind, in words.

    The draft is changed in place. Raises SubjectError if the server is not there or refuses the
    key.
    """
    try:
        probe(subject)
        _Probe(made, subject).run()
    except Inconclusive as why:
        made.questions.append(f"the probe ended early: {why}")
    finally:
        left = subject.close()
    sound(made)
    made.questions[:] = dict.fromkeys(made.questions)
    return left


class _Probe:
    """One pass over the kinds of records of a draft."""

    def __init__(self, made: Draft, subject: BackendSubject) -> None:
        self.made, self.subject = made, subject
        self.refusals = Refusals(made, subject)
        self._twice: set[str] = set()
        """Ids that two creations of the probe's were answered with."""

    @property
    def contract(self) -> Contract:
        return self.subject.contract

    def run(self) -> None:
        """Try every kind of record, those first that others live in."""
        self.subject.enter("probe.places")
        settle(self.made, self.subject, lambda kind: self._undeletable(kind, set()), self._renew)
        self.subject.stand()
        effects = [self.made.effect(o) for o in self.made.contract]
        kinds = list(dict.fromkeys(e["resource"] for e in effects if e.get("resource")))
        depth = {k: self._depth(k) for k in kinds}
        for resource in sorted(kinds, key=lambda k: depth[k]):
            self.subject.enter(f"probe.{resource}")
            self._resource(resource)
            self.subject.world.tidy()
        self.subject.enter("probe.refusals")
        self.refusals.finish()

    def _depth(self, resource: str) -> int:
        paths = [
            o.path for o in self.made.contract if self.made.effect(o).get("resource") == resource
        ]
        return min(path.count("{") * 100 + path.count("/") for path in paths)

    # -- one kind of record --------------------------------------------------------------------

    def _resource(self, resource: str) -> None:
        if not creators(self.contract, resource):
            for lister in operations_on(self.contract, resource, "list"):
                self._shape_of(lister)
            return
        lasting = self._undeletable(resource, set())
        if lasting:
            self._ask(
                f"nothing that was recognised deletes a {lasting}, so the probe created no "
                f"{resource}: which operation does? (effect: kind delete)"
            )
            for lister in operations_on(self.contract, resource, "list"):
                self._shape_of(lister)
            return
        record = self._create(resource)
        if record is None:
            return
        self._read(record)
        others = self._again(record)
        self._list(record, others)
        self._search(record)
        self._change(record)
        self._delete(record)
        self.refusals.of(resource)

    def _undeletable(self, resource: str, seen: set[str]) -> str:
        """Return the kind of record among those that a creation needs which nothing deletes."""
        if resource in seen:
            return ""
        seen.add(resource)
        if not operations_on(self.contract, resource, "delete"):
            return resource
        for maker in creators(self.contract, resource)[:1]:
            for kind in maker.effect.scope.values() if maker.effect else ():
                if kind != "free" and (found := self._undeletable(kind, seen)):
                    return found
        return ""

    def _create(self, resource: str) -> Made | None:
        maker = creators(self.contract, resource)[0]
        sent = self._sent(maker, self._new, maker)
        if sent is not None and not ok(sent[1]):  # perhaps it takes what is required alone
            sent = self._called(maker)
        if sent is None:
            return None
        arguments, exchange = sent
        if not ok(exchange):
            self._ask(
                f"{maker.id} was answered {told(exchange)}{_said(exchange)}: which values does it "
                "take? Give an `example` in the description, or pin one at the root (fixed)"
            )
            self.refusals.saw(maker, exchange, "invalid")
            return None
        found = self._identified(maker, arguments, exchange)
        if found is None:
            self._ask(
                f"{maker.id} answered {told(exchange)}, and no value in its answer names what it "
                "created: where is the id? (effect: id)"
            )
            return None
        self._saw(maker, f"answered {told(exchange)}, with an id that names the record")
        return found

    def _new(
        self, maker: Operation, seed: int = 0, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a creation with what is required, and with a text if it takes one."""
        world = self.subject.world
        made = world.arguments(maker, given=given, seed=seed)
        more = world.arguments(maker, given=made, seed=seed, optional=True)
        texts = {n for n in _body_names(maker) if plain(n) in TEXTS}
        return made | {n: v for n, v in more.items() if n in texts and isinstance(v, str)}

    def _identified(
        self, maker: Operation, arguments: Mapping[str, Any], exchange: Exchange
    ) -> Made | None:
        """Return the new record under the id that reads find it by; mend the guess of where it is.

        A read under another value of the answer changes nothing, so trying one is harmless.
        """
        assert maker.effect is not None
        body = exchange.response.json_or_none() if exchange.response else None
        guessed = maker.effect.id
        tried = noticing.ids(body, guessed)[:TRIED]
        drafted = self.subject.world.note(maker, dict(arguments), exchange, "a")
        readers = [
            o for o in operations_on(self.contract, maker.effect.resource, "read")
            if o.effect and o.effect.target
        ]  # fmt: skip
        for pointer, id in tried if readers else []:
            made = Made(
                maker.effect.resource or "", str(id), maker, arguments, exchange, "a", arguments
            )
            read = self._sent(readers[0], read_arguments, self.subject, readers[0], made)
            if read is None or not ok(read[1]):
                continue
            if pointer == guessed:
                break
            self._mend(
                maker,
                {"id": pointer, "target": None},
                f"a read finds the record by {pointer}, not by {guessed or 'its name'}",
            )
            return self._noted(maker, arguments, exchange)
        return drafted[0] if drafted else None

    def _noted(
        self, maker: Operation, arguments: Mapping[str, Any], exchange: Exchange
    ) -> Made | None:
        """Return the record of an answer once more, by the mended guess."""
        made = self.subject.world.note(
            self.contract[maker.id], dict(arguments), exchange, "a"
        )  # fmt: skip
        return made[0] if made else None

    def _read(self, record: Made) -> None:
        for reader in operations_on(self.contract, record.resource, "read"):
            sent = self._sent(reader, read_arguments, self.subject, reader, record)
            if sent is None:
                continue
            exchange = sent[1]
            if not ok(exchange):
                self._ask(f"{reader.id} of a new {record.resource} was answered {told(exchange)}"
                          f"{_said(exchange)}: by what is one read? (effect: target)")  # fmt: skip
                continue
            body = exchange.response.json_or_none() if exchange.response else None
            assert reader.effect is not None
            shown = noticing.holding(body, reader.effect.id, record.id)
            if shown != reader.effect.id:
                why = f"its answer shows the id at {shown}" if shown else "its answer shows no id"
                self._mend(reader, {"id": shown}, why)
            self._saw(reader, f"answered {told(exchange)} for a record of the probe's")
            self._otherwise(reader, record, body, shown)

    def _otherwise(self, reader: Operation, record: Made, body: Any, shown: str | None) -> None:
        """Ask about values that a read shows otherwise than they were written."""
        home = (shown or "").rpartition("/")[0]
        held = at(body, home) if home else body
        sent = {n: v for n, v in record.arguments.items() if n in _body_names(record.operation)}
        odd = noticing.otherwise(sent, held)
        if odd:
            names = ", ".join(odd)
            self._ask(
                f"{reader.id} shows {names} otherwise than {record.operation.id} wrote: is that "
                "meant? The draft takes it so (effect: volatile)"
            )
            guess = self._guess(reader)
            before = guess.value.get("volatile", []) if guess else []
            self._mend(reader, {"volatile": sorted({*before, *odd})}, f"it shows {names} its way")

    def _again(self, record: Made) -> list[Made]:
        """Create once more: the very same, to see what must be unique, and another one."""
        maker = self.contract[record.operation.id]
        same = self._sent(maker, dict, record.arguments)
        others: list[Made] = []
        if same is not None and ok(same[1]):
            others = self.subject.world.note(maker, same[0], same[1], "a")
        elif same is not None and (same[1].status or 0) in (400, 409, 422, 500):
            self.refusals.saw(maker, same[1], "duplicate")
            self._unique(maker, same[1])
        if others and others[0].id == record.id:
            self._twice.add(record.id)
        if not others or others[0].id == record.id:
            maker = self.contract[maker.id]
            scope = maker.effect.scope if maker.effect else {}
            near = {
                n: v for n, v in record.arguments.items()
                if scope.get(n, "free") != "free" or n in maker.fixed
            }  # fmt: skip
            more = self._sent(maker, self._new, maker, 1, near)
            others = (
                self.subject.world.note(maker, more[0], more[1], "a")
                if more and ok(more[1]) else []
            )  # fmt: skip
        return [each for each in others if each.id != record.id]

    def _unique(self, maker: Operation, refused: Exchange) -> None:
        """Say which name must be a fresh one, where a second creation is refused."""
        guess = self._guess(maker)
        texts = [
            n for n, s in properties(maker).items()
            if n in required(maker) and s.get("type") == "string" and n in _body_names(maker)
        ]  # fmt: skip
        named = [n for n in texts if n.lower().endswith(("name", "slug", "key", "title", "email"))]
        name = next(iter(named or (texts if len(texts) == 1 else [])), None)
        told_of = f"the same call once more was answered {told(refused)}"
        if guess is None or name is None:
            self._ask(f"{maker.id}: {told_of}: which value must be unique? (effect: scope)")
            return
        scope = dict(guess.value.get("scope", {}))
        if name not in scope:
            self._mend(maker, {"scope": {**scope, name: "free"}}, f"{told_of}, so {name} is unique")

    def _list(self, record: Made, others: list[Made]) -> None:
        for lister in operations_on(self.contract, record.resource, "list"):
            given = self._within(lister, record)
            sent = self._called(lister, given)
            if sent is None:
                continue
            if not ok(sent[1]):
                self._ask(f"{lister.id} was answered {told(sent[1])}{_said(sent[1])}: what does it "
                          "need? (x-conformance at the root: fixed)")  # fmt: skip
                continue
            lister = self._mended_list(lister, sent[1], record)
            if self._holds(lister, given, record):
                self._saw(lister, "showed the record that was created")
            else:
                self._ask(
                    f"{lister.id} did not show the {record.resource} that {record.operation.id} "
                    "created: does it list others? (effect: list)"
                )
            if lister.pagination is not None:
                enough = len(others) + 1
                guess = self.made.of(self.made.contract[lister.id], "pagination")
                if guess is not None:
                    look_at_paging(self.subject, lister, given, guess, enough)
                    self._renew()

    def _mended_list(self, lister: Operation, exchange: Exchange, record: Made) -> Operation:
        """Return a list whose array and ids are where the answer shows the record."""
        assert lister.effect is not None
        body = exchange.response.json_or_none() if exchange.response else None
        found = noticing.listed(body, lister.effect.items, lister.effect.item_id, record.id)
        if found is None or found == (lister.effect.items, lister.effect.item_id):
            return lister
        items, item_id = found
        self._mend(
            lister,
            {"items": items, "itemId": item_id, **_moved(lister, item_id)},
            f"its answer shows the record at {items or 'the root'}, by {item_id or 'value'}",
        )
        guess = self.made.of(self.made.contract[lister.id], "pagination")
        if guess is not None:
            guess.value |= {"items": items, "itemKey": item_id}
            self._renew()
        return self.contract[lister.id]

    def _holds(self, lister: Operation, given: Mapping[str, Any], record: Made) -> bool:
        try:
            seen = walk(self.subject, lister, given, max_size(lister), most=5)
        except (Inconclusive, NotApplicable):
            return False
        return record.id in seen.keys

    def _shape_of(self, lister: Operation) -> None:
        """Look at a list of records that the probe does not create."""
        needed = lister.effect.scope if lister.effect else {}
        if any(kind != "free" and self._undeletable(kind, set()) for kind in needed.values()):
            return
        sent = self._called(lister)
        if sent is None or not ok(sent[1]) or lister.effect is None:
            return
        if isinstance(value_at(sent[1], lister.effect.items), list):
            self._saw(lister, "showed an array there")

    def _within(self, operation: Operation, record: Made) -> dict[str, Any]:
        """Return the arguments that lead to where a record is."""
        scope = operation.effect.scope if operation.effect else {}
        known = {**record.whole, **record.arguments}
        needed = required(operation) | set(scope)
        return {n: known[n] for n in needed if n in known and n in properties(operation)}

    def _search(self, record: Made) -> None:
        text = next((str(v) for v in record.arguments.values() if self.subject.mark in str(v)), "")
        for searcher in operations_on(self.contract, record.resource, "search"):
            if not text:
                continue
            sent = self._sent(searcher, search_arguments, self.subject, searcher, record, text)
            if sent is None or not ok(sent[1]) or searcher.effect is None:
                continue
            body = sent[1].response.json_or_none() if sent[1].response else None
            found = noticing.listed(body, searcher.effect.items, searcher.effect.item_id, record.id)
            if found is None:
                self._ask(f"{searcher.id} did not find a {record.resource} by its text: does it "
                          "search by meaning, or later? (effect: delay)")  # fmt: skip
                continue
            if found != (searcher.effect.items, searcher.effect.item_id):
                self._mend(searcher, {"items": found[0], "itemId": found[1],
                                      **_moved(searcher, found[1])}, "so it was found")  # fmt: skip
            self._saw(searcher, "found the record that was created")

    def _change(self, record: Made) -> None:
        for changer in operations_on(self.contract, record.resource, "update", "replace"):
            given = self._within(changer, record)
            if changer.effect and changer.effect.target:
                given[changer.effect.target] = record.id
            sent = self._called(changer, given, seed=2)
            if sent is not None and ok(sent[1]):
                self._saw(changer, f"answered {told(sent[1])} for a record of the probe's")
            elif sent is not None:
                self._ask(f"{changer.id} of a {record.resource} was answered {told(sent[1])}"
                          f"{_said(sent[1])}: which values does it take?")  # fmt: skip

    def _delete(self, record: Made) -> None:
        deleter = operations_on(self.contract, record.resource, "delete")[0]
        given = self._within(deleter, record)
        if deleter.effect and deleter.effect.target:
            given[deleter.effect.target] = record.id
        sent = self._called(deleter, given)
        if sent is None:
            return
        if not ok(sent[1]):
            self._ask(
                f"{deleter.id} of a {record.resource} was answered {told(sent[1])}"
                f"{_said(sent[1])}: how is one deleted?"
            )
            return
        self._saw(deleter, f"answered {told(sent[1])} for a record of the probe's")
        for reader in operations_on(self.contract, record.resource, "read")[:1]:
            after = self._sent(reader, read_arguments, self.subject, reader, record)
            if after is not None and ok(after[1]) and record.id in self._twice:
                # two records of the probe's have one name; this deletes the other
                self._called(deleter, given)
                after = self._sent(reader, read_arguments, self.subject, reader, record)
            if after is not None and ok(after[1]):
                self._ask(
                    f"{reader.id} still shows a {record.resource} that {deleter.id} deleted: is it "
                    "only marked, or deleted later? (effect: delay)"
                )
            elif after is not None:
                self.refusals.saw(reader, after[1], "unknown-id")

    # -- sending, and what becomes of the draft ------------------------------------------------

    def _called(
        self, operation: Operation, given: Mapping[str, Any] | None = None, seed: int = 0
    ) -> tuple[dict[str, Any], Exchange] | None:
        """Send a valid call with some arguments given; see `_sent`."""
        return self._sent(operation, self.subject.world.arguments, operation, "a", given, seed=seed)

    def _sent(
        self, operation: Operation, make: Callable[..., dict[str, Any]], *of: Any, **more: Any
    ) -> tuple[dict[str, Any], Exchange] | None:
        """Send a call with the arguments that `make` returns; return both.

        None if no arguments can be made or the call must not go out, which becomes a question.
        """
        try:
            arguments = make(*of, **more)
            return arguments, self.subject.send(operation, arguments)
        except (Inconclusive, NotApplicable, KeyError) as why:
            if self.subject.seconds_left == 0 or self.subject.requests_left == 0:
                raise
            self._ask(f"{operation.id} was not tried: {why}")
            return None

    def _guess(self, operation: Operation, block: str = "effect") -> Guess | None:
        return self.made.of(self.made.contract[operation.id], block)

    def _saw(self, operation: Operation, what: str) -> None:
        guess = self._guess(operation)
        if guess is not None:
            guess.basis, guess.seen = Basis.OBSERVED, what

    def _mend(self, operation: Operation, values: Mapping[str, Any], why: str) -> None:
        """Change a guess by what was seen; None takes a word out."""
        guess = self._guess(operation)
        if guess is None:
            return
        guess.value |= values
        guess.value = {n: v for n, v in guess.value.items() if v is not None}
        guess.why += f"; {why}"
        self._renew()

    def _renew(self) -> None:
        self.subject.contract = described(self.made)
        self.subject.excluded = excluded(self.subject.contract)

    def _ask(self, question: str) -> None:
        self.made.questions.append(question)


def _moved(operation: Operation, item_id: str) -> dict[str, Any]:
    """Return where the text of an entry is, if the ids are elsewhere than was guessed."""
    content = operation.effect.content if operation.effect else None
    if content is None:
        return {}
    return {"content": f"{item_id.rpartition('/')[0]}/{content.rpartition('/')[2]}"}


def _body_names(operation: Operation) -> set[str]:
    return set(properties(operation)) - {p.name for p in operation.parameters}


def _said(exchange: Exchange) -> str:
    """Return what an error answer says, short, as a parenthesis; '' if it says nothing."""
    body = exchange.response.body if exchange.response else b""
    text = " ".join(body.decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f" ({text[:WORDS_MAX]}{'…' if len(text) > WORDS_MAX else ''})" if text else ""
