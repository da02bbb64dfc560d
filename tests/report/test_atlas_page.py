"""The page of an atlas: what it says, that no name reaches its markup, and what its form does in a browser."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from figures import atlas_tables as made
from report.chromium import CHROMIUM, Browser, Tab
from report.test_page import Elements
from vitro.atlases.page import figures_of, page_of
from vitro.tables import Tables

ATLASES = {
    "small": made.SMALL_ATLAS,
    "medium": made.MEDIUM_ATLAS,
    "one cell": made.ONE_CELL,
    "hostile": made.hostile(),
    "all failed": made.ALL_FAILED,
    "all null": made.ALL_NULL,
}
every_atlas = pytest.mark.parametrize("name", ATLASES)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine")

WIDE, NARROW, SHEET = 1280, 420, 703
COMMAND = "vitro atlas days,'a b' --models gpt2 --out atlas"


def html(tables: Tables) -> str:
    return page_of(
        tables,
        title="3 tasks on <b>3 models</b>",
        asked="Tasks: days & months.",
        facts=[("Machine", "a <i>laptop</i>")],
        command=COMMAND,
        python="vitro.atlas(['gpt2'], ['days'], 'atlas')",
    )


def sentences(tables: Tables) -> list[str]:
    (findings,) = re.findall(r'<ul class="findings">(.*?)</ul>', html(tables), re.DOTALL)
    return [unescape(re.sub("<[^>]+>", "", text)) for text in re.findall("<span>(.*?)</span>", findings)]


@every_atlas
def test_equal_tables_give_equal_bytes(name: str) -> None:
    assert html(ATLASES[name]) == html({table: frame.clone() for table, frame in ATLASES[name].items()})


@every_atlas
def test_every_cell_has_a_row_that_leads_to_its_study_or_says_why_there_is_none(name: str) -> None:
    body = html(ATLASES[name]).split('<table class="list">')[1].split("</table>")[0].split("<tbody>")[1]
    rows = re.findall("<tr .*?</tr>", body, re.DOTALL)
    assert len(rows) == len(ATLASES[name]["atlas"])
    links = {unescape(link) for link in re.findall('href="([^"]*)"', body)}
    cells = ATLASES[name]["atlas"].to_dicts()
    studies = {unquote(link.removeprefix("./")).removesuffix("/report.html") for link in links}
    assert studies == {cell["folder"] for cell in cells if cell["state"] == "done"}
    said = [unescape(text) for text in re.findall('<td class="instead" colspan="[1-9][0-9]*">(.*?)</td>', body)]
    assert len(said) == sum(cell["state"] != "done" for cell in cells)
    assert {"ioi: <b>no</b> answer is one token of smollm2"} <= {*said} or name != "small"


@every_atlas
def test_the_page_asks_nothing_of_the_network_and_runs_its_own_scripts_alone(name: str) -> None:
    elements = Elements(html(ATLASES[name]))
    attributes = [attrs for _, attrs in elements.elements]
    targets = [attrs[key] or "" for attrs in attributes for key in ("src", "href", "srcset", "action") if key in attrs]
    assert all(target.startswith(("#", "data:", "cells/")) for target in targets)
    (policy,) = [attrs["content"] or "" for attrs in attributes if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == [kind for kind, _ in elements.scripts].count(None) == 3
    assert not {"unsafe-eval", "http:", "https:"} & set(policy.split())


def test_no_name_reaches_the_markup() -> None:
    elements = Elements(html(ATLASES["hostile"])).elements
    figures = len(figures_of(ATLASES["hostile"]))
    assert [tag for tag, _ in elements].count("script") == 3 + figures
    assert not {"b", "i", "img", "x"} & {tag for tag, _ in elements}
    assert not [key for _, attrs in elements for key in attrs if key.startswith("on")]
    models = {attrs.get("data-model") for tag, attrs in elements if tag == "tr"} - {None}
    assert models >= set(made.HOSTILE)


def test_the_page_opens_with_what_the_tables_say() -> None:
    done, does, found = sentences(made.SMALL_ATLAS)
    assert done == "Done: 8 of 9 cells, 3 tasks on 3 models; 1 failed."
    assert does == (
        "Right in more prompts than chance would give: days by 3 of 3 models, the smallest of 70.4M parameters; "
        "months by 3 of 3 models, the smallest of 70.4M parameters; "
        "ioi by 1 of 2 models, the smallest of 124M parameters."
    )
    assert found.startswith("A circuit was found in 7 of 8 cells in which one was searched for, of 5 to 29 nodes")


def test_of_what_was_not_measured_the_page_says_nothing() -> None:
    assert sentences(made.ALL_FAILED) == ["Done: 0 of 9 cells, 3 tasks on 3 models; 8 failed and 1 not made yet."]
    assert sentences(made.ALL_NULL) == ["Done: 9 cells, 3 tasks on 3 models."]
    assert figures_of(made.ALL_FAILED) == figures_of(made.ALL_NULL) == {}


def test_title_question_facts_and_how_to_make_it_again_are_there_and_escaped() -> None:
    page = html(made.ONE_CELL)
    for words in ("3 tasks on &lt;b&gt;3 models", "days &amp; months", "a &lt;i&gt;laptop", "vitro.atlas([&#39;gpt2"):
        assert words in page
    commands = [unescape(re.sub("<[^>]+>", "", code)) for code in re.findall(r"<code>(<span>.*?)</code>", page)]
    assert commands == [COMMAND]


def test_of_more_cells_than_a_page_can_list_the_first_are_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vitro.atlases.page.LISTED", 5)
    page = html(made.SMALL_ATLAS)
    assert page.count("<tr data-") == 5
    assert "Shown are the first 5 of 9; the table atlas.parquet has all." in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of atlases, with a study's page wherever one leads to."""
    folder = tmp_path_factory.mktemp("atlases")
    for name in ("medium", "hostile"):
        for path in ATLASES[name]["atlas"].filter(state="done")["folder"]:
            study = folder / name / path / "report.html"
            study.parent.mkdir(parents=True, exist_ok=True)
            study.write_text("<!doctype html><title>study</title>", encoding="utf-8")
        (folder / name / "atlas.html").write_text(html(ATLASES[name]), encoding="utf-8")
    return folder


@pytest.fixture
def tab(browser: Browser, folder: Path) -> Tab:
    """The page of the atlas of medium size, drawn."""
    tab = Tab(browser)
    tab.show(WIDE)
    tab.open(folder / "medium" / "atlas.html")
    return tab


ROWS = """[...document.querySelectorAll("table.list tbody tr")]
    .filter((row) => row.offsetParent).map((row) => [row.dataset.model, row.dataset.task])"""
NAMES = """[...document.querySelectorAll("#figure-atlas_answers svg text")].map((text) => text.textContent)"""
POINTS = """document.querySelectorAll("#figure-atlas_depths svg .mark-symbol.role-mark path").length"""


def choose(tab: Tab, **values: str) -> None:
    """Fill in the form, as a reader does, and wait for the figures."""
    tab.evaluate(
        f"""(async () => {{
        const form = document.querySelector("form.filters");
        for (const [name, value] of Object.entries({json.dumps(values)})) form.elements[name].value = value;
        form.dispatchEvent(new Event("input", {{bubbles: true}}));
        await new Promise((done) => setTimeout(done, 1000)); }})()"""
    )


@in_browser
def test_the_form_filters_the_rows_and_the_figures_and_lets_go_of_them(tab: Tab) -> None:
    cells, names, points = tab.evaluate(ROWS), set(tab.evaluate(NAMES)), tab.evaluate(POINTS)
    assert len(cells) == 88
    choose(tab, task="ioi", model=" PYTHIA ")
    assert {task for _, task in tab.evaluate(ROWS)} == {"ioi"}
    assert {model for model, _ in tab.evaluate(ROWS)} == {model for model, _ in cells if "pythia" in model}
    assert "gpt2" in names - set(tab.evaluate(NAMES))
    assert "EleutherAI/pythia-1b" in tab.evaluate(NAMES)
    assert 0 < tab.evaluate(POINTS) < points
    assert tab.evaluate("""document.querySelector(".filters output").textContent""") == "14 of 88 rows"
    choose(tab, task="", model="", family="Qwen2", state="failed")
    assert tab.evaluate(ROWS) == [["Qwen/Qwen2.5-1.5B", "ioi"]]
    choose(tab, model="no such model")
    assert tab.evaluate(ROWS) == []
    tab.evaluate("""document.querySelector(".filters button").click()""")
    choose(tab)
    assert tab.evaluate(ROWS) == cells
    assert (set(tab.evaluate(NAMES)), tab.evaluate(POINTS)) == (names, points)
    assert not tab.said


@in_browser
def test_a_click_on_a_head_sorts_the_rows_by_it_and_another_turns_them(tab: Tab) -> None:
    click = """[...document.querySelectorAll(".list th button")]
        .find((button) => button.textContent === "accuracy").click()"""
    column = """[...document.querySelectorAll(".list tbody tr")].map((row) => row.querySelector(".instead")
        ? null : row.cells[[...document.querySelectorAll(".list th")]
        .findIndex((head) => head.ariaSort)].textContent)"""
    for turned in (True, False):
        tab.evaluate(click)
        texts = tab.evaluate(column)
        numbers = [float(text) for text in texts[:86]]
        assert numbers == sorted(numbers, reverse=turned)
        assert texts[86:] == [None, None], "what failed comes last"


@in_browser
@pytest.mark.parametrize("figure", ["answers", "sizes", "training", "depths", "seconds"])
def test_a_mark_leads_to_its_study(browser: Browser, folder: Path, figure: str) -> None:
    tab, page = Tab(browser), folder / "medium" / "atlas.html"
    tab.show(WIDE)
    tab.open(page)
    x, y = tab.evaluate(
        f"""(() => {{
        const marks = document.querySelectorAll(
            "#figure-atlas_{figure} svg :is(.mark-symbol, .mark-rect).role-mark path");
        const mark = marks[marks.length - 1];
        mark.scrollIntoView({{block: "center", behavior: "instant"}});
        const box = mark.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        tab.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    place = unquote(_place_after(tab, page.as_uri()))
    assert re.fullmatch(re.escape((folder / "medium").as_uri()) + "/cells/[^/]+/[^/]+/report.html", place)
    assert tab.evaluate("document.title") == "study"


def _place_after(tab: Tab, page: str) -> str:
    """Where the tab is when it has left a page; where it is after some seconds, if it stays."""
    place = page
    for _ in range(100):
        # A page that is being left does not answer.
        with suppress(RuntimeError):
            place = tab.evaluate("document.readyState === 'complete' ? location.href : ''") or page
        if place != page:
            break
        time.sleep(0.1)
    return place


@in_browser
def test_a_page_of_hostile_names_is_drawn_and_filtered_without_a_word(browser: Browser, folder: Path) -> None:
    tab, page = Tab(browser), folder / "hostile" / "atlas.html"
    tab.show(WIDE)
    tab.open(page)
    drawn = tab.evaluate("document.querySelectorAll('figure svg.marks').length")
    assert drawn == len(figures_of(ATLASES["hostile"]))
    for task in ATLASES["hostile"]["atlas"]["task"].unique():
        choose(tab, task=task)
        assert {row[1] for row in tab.evaluate(ROWS)} == {task}
    choose(tab, task="", model='a"b')
    assert {row[0] for row in tab.evaluate(ROWS)} == {'a"b'}
    assert not tab.said
    assert [request for request in tab.requests if not request.startswith("data:")] == [page.as_uri()]
    links = tab.evaluate("""[...document.querySelectorAll(".list a")].map((link) => decodeURI(link.href))""")
    assert all(link.startswith((folder / "hostile").as_uri()) for link in links)


@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_is_wider_than_the_screen(tab: Tab, width: int, dark: bool) -> None:
    tab.show(width, dark=dark)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = tab.evaluate(
        """[...document.querySelectorAll(".chart-wrapper, .scroll, .filters *")].filter(
        (box) => box.getBoundingClientRect().right > innerWidth).length"""
    )
    assert boxes == 0
    paper = tab.evaluate("getComputedStyle(document.querySelector('.filters')).backgroundColor")
    assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")


@in_browser
def test_what_is_printed_fits_the_paper_and_says_what_was_filtered(tab: Tab) -> None:
    tab.show(SHEET, dark=True, media="print")
    shown = """[...document.querySelectorAll(".filters, nav, details, select, input")]
        .filter((part) => part.offsetParent).length"""
    assert tab.evaluate(shown) == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= SHEET
    choose(tab, task="days")
    said = "[...document.querySelectorAll('.filters *')].filter((part) => part.offsetParent).map((p) => p.textContent)"
    assert tab.evaluate(said) == ["22 of 88 rows"]
    after = "getComputedStyle(document.querySelector('.filters output'), '::after').content"
    assert "task: days" in tab.evaluate(after)
