"""A page as a browser shows it: the hostile sample, and the whole report of a study with every measurement there is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from report.chromium import CHROMIUM, Browser, Tab
from report.sample import PAGE
from vitro.experiments import EXPERIMENTS
from vitro.models import Model
from vitro.options import Options
from vitro.record import Study
from vitro.report import render
from vitro.study import run_study
from vitro.tasks import days

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine")

WIDE, NARROW = 1280, 420
LETTER = 703
"""Pixels of the width of a sheet between its margins."""
MARKS = """[...document.querySelectorAll("#FIGURE .role-mark :is(path, text, line)")]"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def study(planted_folder: Path, planted_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Study:
    options = Options(samples=4, ablations=("mean",), sweep_prompts=3)
    return run_study(str(planted_folder), days(), tmp_path_factory.mktemp("study"), options, experiments=EXPERIMENTS)


@pytest.fixture(scope="module")
def tab(browser: Browser, study: Study) -> Tab:
    """The study's report, drawn."""
    tab = Tab(browser)
    tab.show(WIDE)
    tab.open(study.report)
    return tab


@pytest.fixture(scope="module")
def specs(tab: Tab) -> dict[str, dict[str, Any]]:
    """The specification of every figure of the report, by its place on the page."""
    texts = tab.evaluate(
        """Object.fromEntries([...document.querySelectorAll("figure")].map(
        (figure) => [figure.id, figure.querySelector("script").textContent]))"""
    )
    return {place: json.loads(text) for place, text in texts.items()}


def test_a_page_of_hostile_tokens_is_drawn_from_disk_without_a_word(browser: Browser, tmp_path: Path) -> None:
    page, tab = tmp_path / "report.html", Tab(browser)
    page.write_text(render(PAGE), encoding="utf-8")
    tab.show(WIDE)
    tab.open(page)
    assert tab.evaluate("document.querySelectorAll('figure svg.marks').length") == 3
    assert not tab.said
    assert tab.requests == [page.as_uri()]


def test_every_figure_of_every_section_is_drawn_and_has_its_text_in_the_accessibility_tree(
    tab: Tab, study: Study, specs: dict[str, dict[str, Any]]
) -> None:
    assert set(study.record.experiments) == set(EXPERIMENTS)
    expected = {
        f"figure-{name}" for experiment in EXPERIMENTS.values() for name in experiment.figures(study.tables(experiment))
    }
    assert specs.keys() == expected
    pictures = [node["name"]["value"] for node in tab.ask("Accessibility.getFullAXTree")["nodes"] if _is_picture(node)]
    # The tree has one space where a text has several.
    assert sorted(pictures) == sorted(" ".join(spec["description"].split()) for spec in specs.values())
    assert all(len(text) > 20 for text in pictures)


def _is_picture(node: dict[str, Any]) -> bool:
    return not node["ignored"] and node["role"]["value"] == "image" and bool(node["name"]["value"])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_is_wider_than_the_screen_and_what_scrolls_says_so(tab: Tab, width: int, dark: bool) -> None:
    tab.show(width, dark=dark)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = tab.evaluate(
        """[...document.querySelectorAll(".chart-wrapper, .scroll")].map((box) => ({
        figure: box.matches(".chart-wrapper"),
        cut: box.scrollWidth > box.clientWidth + 1,
        beyond: box.getBoundingClientRect().right > innerWidth,
        said: getComputedStyle(box.parentElement, "::after").content.includes("Scroll sideways"),
        reached: box.tabIndex === 0}))"""
    )
    assert not [box for box in boxes if box["beyond"]]
    assert not [box for box in boxes if box["cut"] != box["said"] or (box["cut"] and not box["reached"])]
    assert any(box["figure"] and box["cut"] for box in boxes) == (width == NARROW)
    paper, figures = tab.evaluate(
        """["body", ".chart-wrapper"].map((at) => getComputedStyle(document.querySelector(at)).backgroundColor)"""
    )
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert figures == ("rgb(255, 255, 255)" if dark else "rgba(0, 0, 0, 0)"), "figures keep their white paper"


def test_what_is_printed_is_light_fits_the_paper_and_has_nothing_to_click_or_scroll(tab: Tab) -> None:
    tab.show(LETTER, dark=True, media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= LETTER
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown = """[...document.querySelectorAll("nav, details, select")].filter((part) => part.offsetParent).length"""
    assert tab.evaluate(shown) == 0
    cut = """[...document.querySelectorAll(".chart-wrapper, .scroll, table")].filter(
        (box) => getComputedStyle(box).overflow !== "visible" || box.scrollWidth > innerWidth).length"""
    assert tab.evaluate(cut) == 0


def test_hovering_shows_what_a_mark_is_and_neither_says_nor_fetches_anything(
    tab: Tab, study: Study, specs: dict[str, dict[str, Any]]
) -> None:
    tab.show(WIDE)
    told = {place for place in specs if _tells(tab, place)}
    assert told == {place for place, spec in specs.items() if '"tooltip"' in json.dumps(spec)}
    assert not tab.said
    assert [request for request in tab.requests if not request.startswith("data:")] == [study.report.as_uri()]


def _tells(tab: Tab, place: str) -> bool:
    """Whether hovering over one of a figure's marks, tried from the last to the first, shows a tooltip."""
    marks = MARKS.replace("FIGURE", place)
    count = tab.evaluate(f"{marks}.length")
    for number in range(count - 1, -1, -max(1, count // 30)):
        x, y = tab.evaluate(
            f"""(() => {{
            const mark = {marks}[{number}];
            mark.scrollIntoView({{block: "center", behavior: "instant"}});
            const box = mark.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if tab.evaluate("""document.querySelector("#vg-tooltip-element.visible") !== null"""):
            tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
            return True
    return False
