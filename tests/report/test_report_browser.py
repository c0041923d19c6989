"""`report.html` as Chromium shows it: what is seen, heard, sorted, filtered and printed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exhibits import exhibit
from parity.report.figures import show
from parity.report.html import html
from replay_report import exhibits, offset, replay_report
from staged_report import staged_report

Build = Callable[..., dict[str, Any]]
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = {"names": ["left_knee", "right_knee"]}


def absent(what: str) -> None:
    """Skip, or fail where the browser is required (as in CI)."""
    if os.environ.get("PARITY_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what} is not there, and PARITY_REQUIRE_BROWSER=1 asks for it")
    pytest.skip(f"{what} is not there")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        absent("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    default = Path(sys.prefix) / "node" / "node_modules" / "axe-core" / "axe.min.js"
    path = Path(os.environ.get("PARITY_AXE") or default)
    if not path.is_file():
        absent(f"axe-core ({path})")
    return path.read_text(encoding="utf-8")


class Opened:
    """One page in a context of its own, with all it said and asked for."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("dialog", lambda d: (self.said.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(file.as_uri())

    def rows(self) -> list[str]:
        found: list[str] = self.page.locator("#comparisons tbody tr").all_inner_texts()
        return found


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Return a function that opens a report in the browser; nothing it opens may complain or ask for anything."""
    opened: list[Opened] = []

    def open_page(report: dict[str, Any], **options: Any) -> Opened:
        file = tmp_path / f"{len(opened)}.html"
        file.write_text(html(report), encoding="utf-8")
        opened.append(Opened(browser, file, **options))
        return opened[-1]

    yield open_page
    for seen in opened:
        seen.context.close()
    for seen in opened:
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
        assert sum(url.startswith("file:") for url in seen.asked) == 1


@pytest.fixture(scope="module")
def shown() -> list[dict[str, Any]]:
    return [exhibit(16, 2, over=True, **NAMES), exhibit(1, 3, output="gripper")]


@pytest.fixture(scope="module")
def replayed() -> dict[str, Any]:
    """A replay of 26 dimensions with long names, where one candidate fails and one passes, and all that is shown."""
    names = [f"left_shoulder_JOINT_{i}" for i in range(25)] + ["関" * 40]
    report = replay_report({"good": None, "bad": offset(4)}, width=26, names=names, units="rad/s", frames=200)
    for output in report["replay"]["candidates"].values():
        output["action"] |= exhibits(26)
    return report


@pytest.fixture
def staged(build: Build, entry: Build) -> dict[str, Any]:
    """A policy in stages with long names, over its limit from the middle of its loop on."""
    ratios = {"a_prefix_that_encodes_everything": (0.2, 0.3), "expert": (0.5, 3e4)}
    return staged_report(build, entry, ratios, [0.01 * 4**k for k in range(10)], state="x_t_" + "W" * 60)


def test_all_rows_are_filtered_and_sorted(look: Callable[..., Opened], large: dict[str, Any]) -> None:
    seen = look(large)
    page = seen.page
    assert len(seen.rows()) == 100
    assert "10,000 of 10,000 comparisons" in page.inner_text("#count")
    page.get_by_label("Filter by text").fill("nominal-07777")
    assert len(seen.rows()) == 1
    assert "1 of 10,000 comparisons" in page.inner_text("#count")
    page.get_by_label("Filter by text").fill("")
    page.get_by_label("Verdict").select_option("FAIL")
    assert "10 of 10,000 comparisons" in page.inner_text("#count")
    assert all("NaN" in row for row in seen.rows())
    page.get_by_role("button", name="Worst first, no filter").click()
    column = page.locator("th[data-key=ratio]")
    assert column.get_attribute("aria-sort") == "none"
    column.get_by_role("button").click()
    assert column.get_attribute("aria-sort") == "descending"
    assert "FAIL" in seen.rows()[0]  # NaN is larger than any number
    column.get_by_role("button").press("Enter")
    assert column.get_attribute("aria-sort") == "ascending"
    assert "\t0\t" in seen.rows()[0]
    page.get_by_role("button", name="Next 100").click()
    assert "rows 101 to 200" in page.inner_text("#count")
    page.get_by_label("Filter by text").fill("no such case")
    assert seen.rows() == ["No comparison fits the filter."]


def test_filtering_and_sorting_do_not_stall(look: Callable[..., Opened], large: dict[str, Any]) -> None:
    measured = look(large).page.evaluate(
        """() => {
          const took = work => {
            const start = performance.now();
            work();
            document.body.offsetHeight;  // layout counts too
            return performance.now() - start;
          };
          const words = document.getElementById("filter-text");
          const type = text => { words.value = text; words.dispatchEvent(new Event("input")); };
          const click = key => document.querySelector(`th[data-key=${key}] button`).click();
          return {
            filter: took(() => type("nominal 77")),
            ratio: took(() => click("ratio")),
            where: took(() => click("where")),
            all: took(() => type("")),
          };
        }"""
    )
    print({k: f"{v:.0f} ms" for k, v in measured.items()})
    assert max(measured.values()) < 1000  # 200 ms on a desk; a shared runner is given five times that


def test_columns_stay_where_they_are(look: Callable[..., Opened], large: dict[str, Any]) -> None:
    page = look(large).page
    places = "() => [...document.querySelectorAll('#comparisons th')].map(th => th.getBoundingClientRect().left)"
    before = page.evaluate(places)
    page.get_by_label("Filter by text").fill("no such case")
    assert page.evaluate(places) == before
    page.get_by_label("Filter by text").fill("")
    cells = "[...document.querySelectorAll('#comparisons :is(th, td)')]"
    assert page.evaluate(f"() => {cells}.filter(c => c.scrollWidth > c.clientWidth).length") == 0


def test_the_script_shows_what_the_server_rendered(look: Callable[..., Opened], build: Build, entry: Build) -> None:
    figures = [0.0, 1e-45, 1.26e-7, 0.00012345, 0.0999, 0.9999, 12.6, 99.7, 740.0, 1234.6, 999_999.0, 1.5e6, 1e300]
    odd = [float("nan"), float("inf"), None]
    comparisons = [
        entry(case=f"edge-{i:04d}", max_abs=x, rel=x, cosine_min=x, limit_ratio=x, limit=x, units="rad")
        for i, x in enumerate([*figures, *odd])
    ]
    report = build("FAIL", comparisons=comparisons)
    written = look(report, java_script_enabled=False)
    run = look(report)
    assert run.rows() == written.rows()
    assert len(run.rows()) == len(comparisons)
    assert show(740.0, 2) == "740"


def test_without_a_script_the_worst_rows_are_there(look: Callable[..., Opened], large: dict[str, Any]) -> None:
    seen = look(large, java_script_enabled=False)
    assert len(seen.rows()) == 50
    assert "FAIL" in seen.rows()[0]
    assert not seen.page.locator("#controls").is_visible()
    assert seen.page.locator("#without-script").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "NOT_JUDGED", "replayed", "staged"])
def test_axe_finds_nothing_serious(
    look: Callable[..., Opened],
    build: Build,
    shown: list[dict[str, Any]],
    replayed: dict[str, Any],
    staged: dict[str, Any],
    axe: str,
    verdict: str,
    scheme: str,
) -> None:
    # Through the debugger, as axe's own tools do it: the page's policy allows no other script.
    given = {"replayed": replayed, "staged": staged}
    report = given[verdict] if verdict in given else build(verdict, exhibits=shown)
    page = look(report, color_scheme=scheme, bypass_csp=True).page
    page.evaluate(axe)
    page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
    found = page.evaluate("() => axe.run(document)")
    bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in bad] == []
    assert len(found["passes"]) > 10


def test_every_picture_has_a_text_alternative(
    look: Callable[..., Opened], build: Build, shown: list[dict[str, Any]]
) -> None:
    page = look(build("FAIL", exhibits=shown)).page
    pictures = page.evaluate(
        "() => [...document.querySelectorAll('svg')].map(s => [s.getAttribute('role'), s.ariaLabel])"
    )
    assert len(pictures) == 10
    assert all(role == "img" and any(c.isdigit() for c in words) for role, words in pictures)
    alternatives = page.evaluate("() => [...document.querySelectorAll('img')].map(i => [i.alt, i.naturalWidth])")
    assert len(alternatives) == 6
    assert all(alt and width == 24 for alt, width in alternatives)


def test_no_text_of_a_picture_is_cut_off_or_lies_on_another(
    look: Callable[..., Opened], build: Build, replayed: dict[str, Any], staged: dict[str, Any]
) -> None:
    names = [f"left_shoulder_JOINT_{i}" for i in range(29)]
    bare = exhibit(16, 7, units="rad/s")
    bare["by_step"]["ratio"] = None
    bare["distribution"]["edges"] = [-6 + i * 0.125 for i in range(41)]  # a power of ten at either end
    for report in (
        build("FAIL", exhibits=[exhibit(1, 29, over=True, names=names), exhibit(1, 2, names=["W" * 40, "関" * 40])]),
        build("FAIL", exhibits=[exhibit(16, 7, over=True), exhibit(50, 60, names=[*names, *names, "x", "y"]), bare]),
        replayed,
        staged,
    ):
        page = look(report).page
        page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
        found = page.evaluate(
            """() => [...document.querySelectorAll("svg")].map(svg => {
              const frame = svg.getBoundingClientRect(), boxes = [];
              const bad = [];
              for (const text of svg.querySelectorAll("text")) {
                const b = text.getBoundingClientRect(), cut = 1;
                if (b.left < frame.left - cut || b.right > frame.right + cut) bad.push(["cut", text.textContent]);
                if (b.top < frame.top - 3 || b.bottom > frame.bottom + 3) bad.push(["cut", text.textContent]);
                for (const [o, other] of boxes) {
                  const across = Math.min(b.right, o.right) - Math.max(b.left, o.left);
                  const along = Math.min(b.bottom, o.bottom) - Math.max(b.top, o.top);
                  if (across > 2 && along > 4) bad.push(["over", text.textContent, other]);
                }
                boxes.push([b, text.textContent]);
              }
              return [boxes.length, bad];
            })"""
        )
        assert all(count > 5 for count, _ in found)
        assert [bad for _, bad in found if bad] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_the_page(
    look: Callable[..., Opened],
    build: Build,
    shown: list[dict[str, Any]],
    hostile: dict[str, Any],
    replayed: dict[str, Any],
    staged: dict[str, Any],
    width: int,
) -> None:
    for report in (build("FAIL", exhibits=shown), hostile, replayed, staged):
        page = look(report, viewport={"width": width, "height": 844}).page
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "</script><script>alert(3)</script>",
        "n" * 10_000,
        "\u202eevil\u2066 \u05d0\u05d1\u05d2 \u0627\u0644",
        "\x00\x1b[31m\x07\ud800\u2028\u2029",
        "$\\frac{1}{0}$ {{ 7*7 }} ${x}",
    ],
    ids=["markup", "closing", "long", "direction", "control", "mathematics"],
)
def test_hostile_names_are_harmless(look: Callable[..., Opened], build: Build, entry: Build, name: str) -> None:
    named = exhibit(4, 2, names=[name, name], candidate=name, output=name, units=name, distribution=None)
    named["worst"] = [{**named["worst"][0], "case": name, "note": name}]
    rows = [entry(name, case=f"{i}{name}", output=name, id=f"{i}{name}", where=name, units=name) for i in range(120)]
    seen = look(build("FAIL", exhibits=[named], comparisons=rows), viewport={"width": 390, "height": 844})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.page.evaluate("document.scripts.length") == 2
    assert seen.page.evaluate("document.querySelectorAll('img[src=x], [onerror]').length") == 0
    seen.page.get_by_role("button", name="Next 100").click()
    assert len(seen.rows()) == 20


def test_hostile_names_of_a_replay_are_harmless(look: Callable[..., Opened]) -> None:
    name = "<script>alert(1)</script><img src=x onerror=alert(2)>" + "n" * 500
    report = replay_report({name: offset(0)}, names=[name, name, name], units=name, told={"action": name})
    seen = look(report, viewport={"width": 390, "height": 844})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.page.evaluate("document.scripts.length") == 1
    assert seen.page.evaluate("document.querySelectorAll('img[src=x], [onerror]').length") == 0


def test_colours_follow_the_theme(look: Callable[..., Opened], build: Build, shown: list[dict[str, Any]]) -> None:
    title = "[...document.querySelectorAll('svg text')].find(t => t.textContent === 'time step')"
    colour = f"() => getComputedStyle({title}).fill"
    light, dark = (look(build("FAIL", exhibits=shown), color_scheme=s).page.evaluate(colour) for s in ("light", "dark"))
    assert light == "rgb(27, 35, 48)"
    assert dark == "rgb(228, 232, 238)"


def test_a_print_has_all_sections_open_and_no_controls(
    look: Callable[..., Opened], build: Build, shown: list[dict[str, Any]], large: dict[str, Any]
) -> None:
    page = look({**large, "exhibits": shown}).page
    page.get_by_label("Filter by text").fill("nominal-00001")
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("#controls").is_visible()
    assert page.locator("#comparisons tbody tr").count() == 50
    page.emulate_media(media="screen")
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert page.locator("#controls").is_visible()
    assert page.locator("#comparisons tbody tr").count() == 1


def test_the_keyboard_reaches_everything(look: Callable[..., Opened], large: dict[str, Any]) -> None:
    page = look(large).page
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)")
        )
    assert {"filter-text", "filter-verdict", "filter-profile", "worst-first", "next", "max|Δ|", "÷ limit"} <= reached
