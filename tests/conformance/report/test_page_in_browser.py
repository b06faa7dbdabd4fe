"""The page of a run in Chromium: searched, filtered, followed and copied from, at three widths."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from conformance.cases import CaseResult
from conformance.report import baseline as known
from conformance.report import html
from conformance.report.baseline import compare
from conformance.report.exit import decide
from conformance.report.results import SubjectEntry, summarise
from conformance.verdict import Finding, Verdict
from specs import Basis
from specs.catalogue import requirements
from tests.judged_results import results

WIDTHS = (390, 768, 1440)
LOOKS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOUND: tuple[tuple[str, str, str, Basis], ...] = (
    ("RA1", "list_notes", "sends 2 s before the Retry-After is over", Basis.DOCUMENTED),
    ("RT1", "get_note", "sends once more than promised", Basis.DOCUMENTED),
    ("PG1", "list_notes", "leaves the second page out", Basis.OBSERVED),
    ("ER1", "create_note", "raises a plain exception", Basis.ASSUMED),
)
STEPS = [
    {"rate": 20.0, "held": True, "why": "", "answered": 20.0, "p50": 0.002, "p99": 0.01},
    {"rate": 40.0, "held": False, "why": "slow", "answered": 31.0, "p50": 0.4, "p99": 1.2},
]
SERIES = [{"t": t, "planned": 20.0, "answered": 20.0 - t, "failed": 0, "p50": 0.002, "p99": 0.01}
          for t in range(4)]  # fmt: skip


def judged(*rows: tuple[str, str, str, Basis], name: str = "some-sdk") -> SubjectEntry:
    """Return an SDK with these findings, each with a timeline."""
    cases = [
        CaseResult(
            f"demo.{id.lower()}", (id,), Verdict.FAIL, operation=operation,
            findings=(Finding(id, message, basis=basis, operation=operation, cause=id,
                              case=f"demo.{id.lower()}", expected="one", actual="two",
                              timeline=(f"+0.0 GET /{operation}", "+0.1 <- 503")),),
        )
        for id, operation, message, basis in rows
    ]  # fmt: skip
    return summarise("sdk", "demo", name, cases, requirements(), version="1.0")


def searched() -> SubjectEntry:
    """Return a load run that searched for the highest rate."""
    details: dict[str, Any] = {
        "curve": [[50, 0.001], [90, 0.004], [99, 0.01]], "sent": 70, "series": SERIES,
        "breakpoint": {"held": 20.0, "why": "at 40/s slow", "steps": STEPS},
    }  # fmt: skip
    passed = [CaseResult("load.latency", ("LD1",), Verdict.PASS)]
    return summarise("load", "demo", "demo under breakpoint", passed, requirements(),
                     details=details)  # fmt: skip


def run() -> str:
    """Return the page of a run of which one finding is new."""
    made = results(judged(*FOUND), judged(FOUND[1], name="other-sdk"), searched())
    before = results(judged(*FOUND[1:]), judged(FOUND[1], name="other-sdk"), searched())
    comparison = compare(made, known.of(before))
    return html.render(made, decide(made, comparison), comparison)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the machine's Chromium, or the one that Playwright brings."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(run(), "utf-8")
    return path


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def page(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """Open the page at a width, light or dark; anything that its script says fails the test."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert [] == said


def shown(page: Page) -> int:
    """Return how many findings can be seen."""
    return page.locator("details.finding:visible").count()


def test_the_page_is_searched_filtered_followed_and_copied_from(page: Page) -> None:
    """A word or a filter leaves what fits; a link opens its finding, a button copies evidence."""
    assert shown(page) == 5
    page.get_by_role("searchbox").fill("once more")
    assert shown(page) == 2
    expect(page.locator(".finder output")).to_have_text("2 of 5 findings")
    page.get_by_role("searchbox").fill("")
    for name, value, count in (("level", "SHOULD", 1), ("operation", "list_notes", 2),
                               ("concern", "retries", 2), ("state", "new", 1)):  # fmt: skip
        page.locator(f"select[name={name}]").select_option(value)
        assert (value, count) == (value, shown(page))
        page.locator(f"select[name={name}]").select_option("")
    page.locator("select[name=level]").select_option("MAY")
    page.locator("td a.fail").first.click()
    first = page.locator("details.finding[open]").first
    expect(first).to_be_visible()
    button = first.locator(".copied button").first
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.kept = text; }")
    button.click()
    expect(button).to_have_text("Copied")
    assert "+0.0 GET /" in page.evaluate("window.kept")


def test_nothing_is_cut_off(page: Page) -> None:
    """The page never scrolls sideways, and at a desktop's width no table does either."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width >= WIDTHS[-1]:
        cut = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
        assert page.evaluate(f"{cut}.length") == 0


def test_without_its_script_the_page_shows_everything(browser: Browser, file: Path) -> None:
    """A reader without scripts sees every finding, and no control that does nothing."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert shown(page) == 5
    assert page.locator(".finder:visible, button:visible").count() == 0
    context.close()


def test_no_other_script_runs() -> None:
    """The policy names one script by its hash; a changed letter makes another hash."""
    page = run()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"script-src '{html.script_source(script)}'" in page
    assert html.script_source(script + " ") not in page


def test_a_search_shows_latency_and_answers_by_rate() -> None:
    """A breakpoint run has the charts of its rates; another run has none of them."""
    page = run()
    assert "latency by rate" in page
    assert "rate planned and reached" in page
    made = results(judged(*FOUND))
    assert "latency by rate" not in html.render(made, decide(made))
