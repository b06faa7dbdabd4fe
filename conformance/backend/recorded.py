"""What the lines of a recording may hold: a file may come from anywhere, cut, edited or made up.

`head` and `line` read one line each and raise ValueError with the place and what is wrong with it.
What the values mean is the business of `recording`.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from conformance.backend.words import PRINCIPALS, ROLES
from conformance.history import Failure

FORMAT = "memconform.recording/1"
Name = Annotated[str, Field(max_length=200)]
_M = TypeVar("_M", bound=BaseModel)


class HeadLine(BaseModel):
    """The first line: what was run."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["memconform.recording/1"]
    api: str
    base_url: str
    seed: int
    run_id: Name
    principals: tuple[Literal[(*PRINCIPALS, *ROLES)], ...]  # type: ignore[valid-type]
    deep: bool = False
    fast: bool = False
    read_only: bool = False
    quota: tuple[Annotated[int, Field(ge=1)], Annotated[FiniteFloat, Field(gt=0)]] | None = None
    restart: bool = False
    also: tuple[str, ...] = ()
    hostile: bool | None = None
    excluded: dict[str, str] | None = None


class MessageLine(BaseModel):
    """What a request and an answer have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    headers: tuple[tuple[str, str], ...]
    text: str | None = None
    base64: str | None = None

    @property
    def body(self) -> bytes:
        """The body's bytes. Raises ValueError."""
        if self.text is not None:
            return self.text.encode()
        return base64.b64decode(self.base64 or "", validate=True)


class ResponseLine(MessageLine):
    """An answer within a line."""

    status: Annotated[int, Field(ge=0, le=999)]
    complete: bool


class ExchangeLine(BaseModel):
    """Any other line: one exchange, and the case that it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    case: str
    salt: Name = ""
    principal: str = ""
    operation: str | None = None
    method: str = ""
    target: str = ""
    request: MessageLine | None = None
    sent: FiniteFloat
    received: FiniteFloat
    at: Annotated[FiniteFloat, Field(ge=-1e11, le=1e11)]
    connection: int
    failure: Failure | None
    response: ResponseLine | None


def head(text: str) -> HeadLine:
    """Return a recording's first line."""
    value = _json(text)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"not a recording of the format {FORMAT}")
    return _validated(HeadLine, value)


def line(text: str) -> ExchangeLine | None:
    """Return an exchange; None for the line that ends a recording."""
    value = _json(text)
    if isinstance(value, dict) and "end" in value:
        return None
    made = _validated(ExchangeLine, value)
    for each in (made.request, made.response):
        if each is not None:
            _ = each.body
    return made


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def _validated(model: type[_M], value: Any) -> _M:
    """Return a line as its model; JSON has no tuples, so lists stand for them."""
    try:
        return model.model_validate_json(json.dumps(value))
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
