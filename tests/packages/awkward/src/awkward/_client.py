"""Clients whose constructors ask the server, with properties that raise and pages that page on."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode


class AwkwardError(Exception):
    """Whatever goes wrong."""


class Awkward:
    """The blocking client: it asks the server whether the key is good before anything else."""

    def __init__(self, secret: str, host: str = "https://example.com", plan: str = "none") -> None:
        self._secret, self._host = secret, host
        self.plan = self.send("GET", "/ping").get("plan", plan)
        self.boxes = Boxes(self)

    @property
    def pool(self) -> Any:
        """Only where an event loop runs, which is nowhere."""
        return asyncio.get_running_loop()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return its body. Raises AwkwardError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self._secret}", "content-type": "application/json"}
        request = urllib.request.Request(self._host + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError) as why:
            raise AwkwardError(str(why)) from why


class Boxes:
    """Boxes, by a client; the async ones run the blocking calls in a thread."""

    def __init__(self, client: Awkward) -> None:
        self._client = client

    @property
    def broken(self) -> Any:
        """A property that raises what nobody expects."""
        raise RuntimeError("no boxes today")

    def add(self, name: str, note: str | None = None) -> Any:
        """Add a box."""
        given = {"name": name, **({} if note is None else {"note": note})}
        return self._client.send("POST", "/boxes", given)

    def get(self, id: str) -> Any:
        """Read a box."""
        return self._client.send("GET", f"/boxes/{quote(id, safe='')}")

    def list(self, after: str | None = None) -> Page:
        """List boxes: one page, which goes on to the next one where it is iterated."""
        return Page(self, after)


class Page:
    """One page of boxes; `for box in page` hands out all boxes of all pages."""

    def __init__(self, boxes: Boxes, after: str | None) -> None:
        self._boxes = boxes
        query = f"?{urlencode({'after': after})}" if after else ""
        body = boxes._client.send("GET", f"/boxes{query}")
        self.items, self.next_cursor = body["items"], body.get("next_cursor")

    def __iter__(self) -> Iterator[Any]:
        yield from self.items
        if self.next_cursor:
            yield from Page(self._boxes, self.next_cursor)


class AsyncAwkward:
    """The async client: it can only be made where an event loop runs."""

    def __init__(self, secret: str, host: str = "https://example.com") -> None:
        self.loop = asyncio.get_running_loop()
        self.boxes = AsyncBoxes(Boxes(Awkward(secret, host)))


class AsyncBoxes:
    """Boxes, by an async client."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes

    async def add(self, name: str, note: str | None = None) -> Any:
        """Add a box."""
        return await asyncio.to_thread(self._boxes.add, name, note)

    async def get(self, id: str) -> Any:
        """Read a box."""
        return await asyncio.to_thread(self._boxes.get, id)

    async def list(self, after: str | None = None) -> AsyncPage:
        """List boxes."""
        return AsyncPage(await asyncio.to_thread(self._boxes.list, after))


class AsyncPage:
    """One page of boxes, which goes on where it is iterated."""

    def __init__(self, page: Page) -> None:
        self.items, self._page = page.items, page

    async def __aiter__(self) -> AsyncIterator[Any]:
        page = self._page
        while True:
            for item in page.items:
                yield item
            if not page.next_cursor:
                return
            page = await asyncio.to_thread(Page, page._boxes, page.next_cursor)
