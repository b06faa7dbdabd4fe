"""What every claim has: templates that are filled from its fields and properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


class _Filled(dict[str, Any]):
    """The names that a template may use: fields and properties of a claim."""

    def __init__(self, claim: Base) -> None:
        super().__init__()
        self._claim = claim

    def __missing__(self, name: str) -> Any:
        return getattr(self._claim, name)


@dataclass(frozen=True, slots=True)
class Base:
    """What every claim has. The templates are filled from fields and properties."""

    CAUSE: ClassVar[str] = ""
    MESSAGE: ClassVar[str] = ""
    EXPECTED: ClassVar[str] = ""
    ACTUAL: ClassVar[str] = ""
    MANY: ClassVar[str] = ""
    """The message where several exceptions came out, `{exceptions}`; '' where it stays."""
    HOME: ClassVar[str] = ""
    """The requirement under which all findings of one mistake are one."""
    ALIKE: ClassVar[frozenset[str]] = frozenset()
    """The requirements whose findings are that one mistake."""

    def render(self, template: str) -> str:
        """Return a template filled with this claim."""
        return template.format_map(_Filled(self))

    @property
    def cause(self) -> str:
        """The mistake: the same for every witness of it."""
        return self.render(self.CAUSE)

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        return self.render(self.MESSAGE)

    @property
    def expected(self) -> str:
        """What was wanted."""
        return self.render(self.EXPECTED)

    @property
    def actual(self) -> str:
        """What was seen."""
        return self.render(self.ACTUAL)

    def home(self, requirement: str) -> str:
        """Return the requirement under which a finding of `requirement` is told."""
        return self.HOME if requirement in self.ALIKE else requirement
