"""What a study's page opens with: question, answer, drawing, numbers, and how sure that is."""

import re
from dataclasses import replace

import polars as pl
import pytest

from figures import found_tables as found
from figures.found_tables import DEEP, IOI, PLANTED
from report.sample import section
from vitro.experiments import FIND
from vitro.figures import Figure, found_circuit, ladder_rungs, search_steps
from vitro.report import Page, Sentence, found_head, render
from vitro.tables import Tables

every_search = pytest.mark.parametrize("tables", found.SEARCHES.values(), ids=found.SEARCHES)


def page(tables: Tables) -> Page:
    figures: dict[str, Figure] = {
        "found_circuit": found_circuit(tables["find"], tables["find_nodes"], tables["find_edges"]),
        "search_steps": search_steps(tables["find"], tables["search"]),
        "ladder": ladder_rungs(tables["ladder"], tables["ladder_answers"], found.questions(tables)),
    }
    return Page(
        title="days in a model",
        lead=[Sentence("It needs a0.h0 most.", "heads")],
        facts=[("Weights, SHA-256", "c0ffee")],
        sections=[section("find", figures, tables["verdict"]), section("heads", {}, pl.DataFrame())],
        asked="What is asked?",
        head=found_head(tables),
        command="vitro study days --model a-model",
    )


def top(html: str) -> str:
    return html[html.index("<header>") : html.index("</header>")]


@every_search
def test_every_number_condition_and_finding_at_the_top_leads_to_a_place_on_the_page(tables: Tables) -> None:
    html = render(page(tables))
    places = set(re.findall(r' id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= places
    numbers = re.search(r'<div class="numerals">(.*?)</div>', html, re.DOTALL)
    assert numbers
    assert len(re.findall(r'<a href="#[^"]+"><strong>', numbers[1])) == 3
    conditions = re.search(r'<ul class="conditions">(.*?)</ul>', html, re.DOTALL)
    assert conditions
    assert len(re.findall(r'<a href="#find">', conditions[1])) == len(tables["verdict"])


def test_the_top_is_question_answer_drawing_numbers_conditions_ladder_and_findings_in_this_order() -> None:
    head = top(render(page(PLANTED)))
    parts = [
        "What is asked?",
        "Found: 1 head and 1 MLP.",
        'id="figure-found_circuit"',
        'class="numerals"',
        "How sure that is",
        "How far down the ladder",
        "It needs a0.h0 most.",
    ]
    assert [head.index(part) for part in parts] == sorted(head.index(part) for part in parts)


def test_the_drawing_is_there_once_and_its_section_leads_to_it() -> None:
    html = render(page(PLANTED))
    assert html.count('id="figure-found_circuit"') == 1
    assert 'id="figure-found_circuit"' in top(html)
    assert 'href="#figure-found_circuit"' in html[html.index('<section id="find">') :]


def test_how_it_was_made_ends_the_page() -> None:
    html = render(page(PLANTED))
    assert "c0ffee" not in top(html)
    assert re.findall(r'<section id="([^"]+)"', html) == ["find", "heads", "make-it-again", "how-it-was-made"]
    assert html.index("c0ffee") > html.index('<section id="how-it-was-made">')


def test_a_failed_condition_is_said_first_and_marked() -> None:
    assert found_head(PLANTED).answer.startswith("Found: 1 head and 1 MLP.")
    head = found_head(IOI)
    assert head.answer == (
        "Not found: the search came to 21 heads and 3 MLPs, but 1 of 5 conditions does not hold. "
        "A search that avoided its nodes came to another as good."
    )
    marks = {True: "holds", False: "fails", None: "reported"}
    assert [condition.mark for condition in head.conditions] == [marks[holds] for holds in IOI["verdict"]["holds"]]
    html = render(page(IOI))
    assert [len(re.findall(f'<span class="{mark}">', html)) for mark in marks.values()] == [4, 1, 1]


def test_faithfulness_is_that_on_held_out_prompts_where_it_was_measured() -> None:
    _, held_out, _ = found_head(DEEP).numbers
    assert (held_out.value, held_out.at) == ("0.84", "find")
    assert "held out (0.79 to 0.88)" in held_out.label
    _, searched, _ = found_head({**DEEP, "verdict": DEEP["verdict"].clear()}).numbers
    assert (searched.value, searched.at) == ("0.86", "figure-search_steps")
    assert "7 prompts searched on" in searched.label


def test_what_was_not_proved_minimal_is_not_called_so() -> None:
    stopped = {**DEEP, "find": DEEP["find"].with_columns(minimal=pl.lit(False))}
    assert "of which none can go" in found_head(DEEP).numbers[0].label
    assert "not proved" in found_head(stopped).numbers[0].label


def test_what_there_was_no_time_for_leaves_the_question_open_and_does_not_fail() -> None:
    open_ones = pl.col("condition").is_in(["random", "second"])
    verdict = IOI["verdict"].with_columns(
        value=pl.when(~open_ones).then("value"), holds=pl.when(open_ones).then(False).otherwise("holds")
    )
    stopped = {**IOI, "verdict": verdict, "find": IOI["find"].with_columns(finished=pl.lit(False))}
    head = found_head(stopped)
    assert head.answer.startswith("Not settled: the search came to 21 heads and 3 MLPs, ")
    assert [condition.mark for condition in head.conditions] == [
        *["holds"] * 3, "not measured", "not measured", "reported"
    ]  # fmt: skip
    assert render(page(stopped)).count('<span class="not-measured">not measured</span>') == 2
    # With all the time that it takes, what could not be measured fails; and so does at any time what was measured.
    for failed in ({**stopped, "find": IOI["find"]}, {**IOI, "find": stopped["find"]}):
        assert found_head(failed).answer.startswith("Not found: ")
    # The terminal goes by the same rule, and its table has the same marks.
    for tables in (stopped, IOI):
        head = found_head(tables)
        assert FIND.summary(tables) == head.answer
        assert FIND.numbers(tables)["verdict"].to_list() == [condition.mark for condition in head.conditions]


def test_the_ladder_is_told_by_its_last_rung_that_holds() -> None:
    depth = found_head(DEEP).depth
    assert depth is not None
    assert depth.text.startswith(
        "5 of 7 rungs hold. The last of them (\u201cthe smallest wiring of these parts\u201d) answers 6"
    )
    assert found_head({**DEEP, "ladder": DEEP["ladder"].with_columns(kept=pl.lit(False))}).depth is None


def test_a_page_without_a_search_opens_with_question_and_findings() -> None:
    without = replace(page(PLANTED), head=None, sections=[section("heads", {}, pl.DataFrame())])
    head = top(render(without))
    assert head.index("What is asked?") < head.index("It needs a0.h0 most.")
    assert "<h2>" not in head


def test_what_leads_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="'nowhere', which is not on it"):
        render(replace(page(PLANTED), lead=[Sentence("It needs a0.h0 most.", "nowhere")]))
    with pytest.raises(ValueError, match="'figure-found_circuit', which is not on it"):
        render(
            replace(page(PLANTED), sections=[section("find", {}, pl.DataFrame()), section("heads", {}, pl.DataFrame())])
        )


def test_where_nothing_is_left_to_judge_the_answer_says_why() -> None:
    why = "The model does not do the task."
    nothing = {**IOI, "find": IOI["find"].with_columns(nodes=pl.lit(0), why=pl.lit(why))}
    assert found_head(nothing).answer == f"Not found. {why}"


def test_where_nothing_was_searched_there_is_nothing_to_draw_or_to_count() -> None:
    nothing = {name: table.clear() for name, table in IOI.items()} | {
        "find": IOI["find"].with_columns(nodes=pl.lit(0), why=pl.lit("The model does not do the task.")),
        "verdict": IOI["verdict"].head(1),
    }
    sections = [section("find", {}, nothing["verdict"]), section("heads", {}, pl.DataFrame())]
    head = top(render(replace(page(IOI), head=found_head(nothing), sections=sections)))
    assert "Not found. The model does not do the task." in head
    assert "<figure" not in head
    assert "numerals" not in head
    assert "How sure that is" in head
