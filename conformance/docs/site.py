"""`memconform docs`: one static site of the words that `explain` says, the guides, and the tables.

A page is Markdown that another module made, drawn by one template. Links are relative, so the site
works from a folder, without a server. `beside` writes the pages that one run's reports link to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markdown_it import MarkdownIt
from markupsafe import Markup

from conformance.docs import guides, reference
from conformance.explain import cases, explain
from conformance.report.write import file
from specs.catalogue import requirements

PLACES = (
    ("Guides", "index.html#guides"), ("Requirements", "requirements/index.html"),
    ("Cases", "cases.html"), ("Options", "reference/options.html"),
    ("Words of x-conformance", "reference/words.html"),
    ("Load profiles", "reference/profiles.html"), ("Exit codes", "reference/exit-codes.html"),
    ("Results", "reference/results.html"),
)  # fmt: skip
_CODE = re.compile(r"<code>([A-Za-z][\w.-]*)</code>")


@dataclass(frozen=True)
class Page:
    """One page: its place in the site and its Markdown, which begins with its title."""

    path: str
    text: str

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.partition("\n")[0].lstrip("# ")


def write(folder: Path, pages: Iterable[Page]) -> int:
    """Write pages into a folder and return how many. Raises OutputError."""
    count = 0
    for page in pages:
        file(folder / page.path, render(page), "--to")
        count += 1
    return count


def whole() -> Iterator[Page]:
    """Yield every page of the site."""
    yield Page("index.html", _index())
    yield from (Page(f"guides/{each.name}.html", each.text()) for each in guides.GUIDES)
    yield Page("requirements/index.html", _requirements())
    yield from map(_requirement, requirements())
    yield Page(
        "cases.html",
        "\n".join(
            ("# Cases", "", *(_lower(explain(id)) for id in dict.fromkeys(c.id for c in cases())))
        ),
    )
    yield from (Page(f"reference/{name}.html", make()) for name, make in reference.PAGES.items())


def beside(folder: Path, wanted: Iterable[str]) -> None:
    """Write the pages of these requirements where a run's reports look for them."""
    write(folder / "docs", map(_requirement, wanted))


def render(page: Page) -> str:
    """Return a page as HTML; everything in its Markdown is text, no HTML passes."""
    up = "../" * page.path.count("/")
    body = _markdown().render(page.text)
    body = body.replace("<table>", '<div class="table"><table>')
    body = body.replace("</table>", "</table></div>")
    return _template().render(
        title=page.title, up=up, body=Markup(_CODE.sub(lambda m: _linked(m, up), body)),  # noqa: S704
        places=PLACES, style=Markup(_style()),  # noqa: S704 - both are made here
    )  # fmt: skip


def _linked(code: re.Match[str], up: str) -> str:
    """Return an id with a link to where it is explained; other code as it is."""
    target = _targets().get(html.unescape(code[1]))
    return f'<a href="{up}{target}">{code[0]}</a>' if target else code[0]


@cache
def _targets() -> Mapping[str, str]:
    """Return id -> the page, and the place in it, that explains it."""
    return {
        **{c.id: f"cases.html#{anchor(c.id)}" for c in cases()},
        **{id: f"requirements/{id}.html" for id in requirements()},
    }


def anchor(heading: str) -> str:
    """Return the fragment of a heading: its id before the colon, as letters and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", heading.partition(":")[0].lower()).strip("-")


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")

    def opened(self: object, tokens: list[object], number: int, *_: object) -> str:
        tag = getattr(tokens[number], "tag", "h2")
        name = anchor(str(getattr(tokens[number + 1], "content", "")))
        return f'<{tag} id="{html.escape(name)}">'

    made.add_render_rule("heading_open", opened)
    return made


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("conformance.docs", "templates"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2")


def _requirement(id: str) -> Page:
    return Page(f"requirements/{id}.html", explain(id))


def _lower(text: str) -> str:
    """Return a text with its headings one level lower, to stand on a page with others."""
    return re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE)


def _requirements() -> str:
    rows = ["# Requirements", "", "What a case may test and a finding may break."]
    concerns = dict.fromkeys(r.concern for r in requirements().values())
    for concern in concerns:
        rows += ["", f"## {concern[:1].upper()}{concern[1:]}", "",
                 "| id | level | judged on | requirement |", "|---|---|---|---|"]  # fmt: skip
        rows += [
            f"| `{r.id}` | {r.level} | {', '.join(r.subject)} | {r.statement.replace('|', ' ')} |"
            for r in requirements().values()
            if r.concern == concern
        ]
    return "\n".join(rows) + "\n"


def _index() -> str:
    lines = ["# memconform", "", guides.SUMMARY, "", "## Guides", ""]
    lines += [f"- [{g.question}](guides/{g.name}.html)" for g in guides.GUIDES]
    lines += ["", "## Reference", ""]
    lines += [f"- [{name}]({target})" for name, target in PLACES[1:]]
    return "\n".join(lines) + "\n"


@cache
def _style() -> str:
    return files("conformance.report").joinpath("templates/page.css").read_text("utf-8")
