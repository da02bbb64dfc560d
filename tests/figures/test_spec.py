import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from typing import cast

import altair as alt
import polars as pl
import pytest

from figures import found_tables as found
from figures import living_tables as living
from figures.ablation_tables import DAYS_SAID, IOI_SAID, clean, head_ablation, mlp_ablation, questions
from figures.living_tables import DAYS, PROMPT
from figures.spoken import gist
from figures.test_circuit import tables as circuit_tables
from vitro.figures import (
    Figure,
    answer_tables,
    attention_patterns,
    circuit_attention,
    circuit_drawing,
    clean_answers,
    final_attention,
    found_circuit,
    head_effects,
    head_lens,
    head_top_tokens,
    ladder_rungs,
    ladder_wirings,
    layer_lens,
    layer_top_tokens,
    mlp_effects,
    mlp_local,
    pins,
    search_steps,
    steering,
    stream_top_tokens,
    to_html,
    to_json,
    to_spec,
    to_svg,
)

CIRCUIT = [
    *(("input", "m0"), ("input", "a9.h1"), ("m0", "a9.h1"), ("input", "a10.h3"), ("m0", "a10.h3"), ("a9.h1", "m9")),
    *(("a10.h3", "m9"), ("a9.h1", "logits"), ("a10.h3", "logits"), ("m9", "logits")),
]

FIGURES: dict[str, Callable[[], Figure]] = {
    "clean": lambda: clean_answers(clean([" a", " b"]), questions([" a", " b"]), DAYS_SAID),
    "clean by kind": lambda: clean_answers(
        clean(list(map(str, range(100)))),
        questions(list(map(str, range(100))), [f"ABBA {n % 15}" for n in range(100)]),
        IOI_SAID,
    ),
    "head lens of pairs": lambda: head_lens(
        living.head_lens_table().with_columns(subject_rank_among_words=None, subject_last_among_words=None), IOI_SAID
    ),
    "layer lens of pairs": lambda: layer_lens(living.layer_lens_table(), IOI_SAID),
    "head change": lambda: head_effects(head_ablation()),
    "head divergence": lambda: head_effects(head_ablation(), "kl"),
    "mlp dots": lambda: mlp_effects(mlp_ablation()),
    "mlp ranges": lambda: mlp_effects(mlp_ablation(prompts=30)),
    "head lens": lambda: head_lens(living.head_lens_table(), DAYS_SAID),
    "answer tables": lambda: answer_tables(living.answer_table(), DAYS, living.next_of(DAYS)),
    "final attention": lambda: final_attention(living.attention_table(), PROMPT),
    "circuits' attention": lambda: circuit_attention(living.circuit_attention_table(), PROMPT),
    "attention by prompt": lambda: final_attention(living.attention_table(), PROMPT, [PROMPT] * 7),
    "patterns by prompt": lambda: attention_patterns(living.attention_pattern_table(), PROMPT, [PROMPT] * 7),
    "head top tokens": lambda: head_top_tokens(
        living.layer_lens_top_table().filter(stage="post").with_columns(head=0),
        pl.DataFrame({"layer": [9, 2], "head": [0, 0]}),
        DAYS,
    ),
    "attention patterns": lambda: attention_patterns(living.attention_pattern_table(), PROMPT),
    "pins": lambda: pins(living.attention_pin_table(), PROMPT, DAYS_SAID),
    "layer lens": lambda: layer_lens(living.layer_lens_table(), DAYS_SAID),
    "layer top tokens": lambda: layer_top_tokens(living.layer_lens_top_table(), DAYS),
    "stream top tokens": lambda: stream_top_tokens(living.stream_top_table(), PROMPT),
    "steering": lambda: steering(
        living.steering_table(), living.steering_attention_table(), living.steering_vector_table(), DAYS_SAID
    ),
    "mlp local": lambda: mlp_local(living.mlp_local_table()),
    "circuit": lambda: circuit_drawing(*circuit_tables(*((*ends, "") for ends in CIRCUIT)), "The final circuit"),
    **{
        f"circuit, {task}": lambda tables=tables: found_circuit(  # type: ignore[misc]
            tables["find"], tables["find_nodes"], tables["find_edges"]
        )
        for task, tables in found.SEARCHES.items()
    },
    "search steps": lambda: search_steps(found.DEEP["find"], found.DEEP["search"]),
    "rungs": lambda: ladder_rungs(found.DEEP["ladder"], found.DEEP["ladder_answers"], found.questions(found.DEEP)),
    "wirings": lambda: cast(Figure, ladder_wirings(found.DEEP["ladder"], *found.wirings(found.DEEP))),
}
every_figure = pytest.mark.parametrize("name", FIGURES)


@cache
def drawn(name: str) -> tuple[str, str]:
    """A figure as JSON and as SVG."""
    figure = FIGURES[name]()
    return to_json(figure), to_svg(figure)


@every_figure
def test_the_same_table_gives_the_same_bytes(name: str) -> None:
    # Vega counts what it draws over the life of the process: the second drawing is never the first of anything.
    first, again = drawn(name), drawn.__wrapped__(name)
    assert first == again


@every_figure
def test_the_svg_is_well_formed_and_refers_to_nothing_outside(name: str) -> None:
    _, svg = drawn(name)
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "href=" not in svg.replace('href="#', "")


def test_no_two_drawings_share_an_id_and_every_reference_is_to_an_id_of_its_own() -> None:
    taken: set[str] = set()
    for svg in {drawn(name)[1] for name in FIGURES}:
        ids = set(re.findall(r'\bid="([^"]*)"', svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) == ids
        assert not ids & taken
        taken |= ids
    assert len(taken) > 10


@every_figure
def test_a_figure_has_a_text_of_its_title_its_subtitle_and_what_its_data_say(name: str) -> None:
    spec, svg = json.loads(drawn(name)[0]), ET.fromstring(drawn(name)[1])
    said = gist(spec)
    assert len(said.split()) >= 3
    assert not {"nothing", "None", "nan"} & set(said.split())
    assert (svg.get("role"), svg.get("aria-label")) == ("img", spec["description"])


@every_figure
def test_a_drawing_promises_neither_a_mouse_nor_a_list_to_choose_from(name: str) -> None:
    shown = " ".join(ET.fromstring(drawn(name)[1]).itertext())
    assert not re.search("hover|mouse|click|choose|menu", shown, re.IGNORECASE)


@every_figure
def test_a_figure_follows_the_schema_of_vega_lite_and_no_theme_of_a_notebook_reaches_it(name: str) -> None:
    with alt.theme.enable("dark"):
        figure = FIGURES[name]()
        assert to_json(figure) == drawn(name)[0]
    assert isinstance(figure, alt.TopLevelMixin)
    assert figure.to_dict(validate=True)


def test_infinite_and_missing_numbers_are_left_out_rather_than_breaking_the_json() -> None:
    table = clean([" a", " b", " c"]).with_columns(wrong_prob=pl.Series([float("nan"), float("inf"), None]))
    (rows, _) = sorted(
        json.loads(to_json(clean_answers(table, questions([" a", " b", " c"]), DAYS_SAID)))["datasets"].values(),
        key=len,
        reverse=True,
    )
    assert all("wrong_prob" not in row for row in rows)


def test_numbers_carry_four_significant_digits() -> None:
    table = clean([" a", " b"]).with_columns(wrong_prob=pl.Series([0.123456789, 1e-9 / 3], dtype=pl.Float32))
    datasets = to_spec(clean_answers(table, questions([" a", " b"]), DAYS_SAID))["datasets"].values()
    assert [row["wrong_prob"] for row in max(datasets, key=len)] == [0.1235, 3.333e-10]


@every_figure
def test_a_figure_of_a_small_model_weighs_less_than_a_hundred_kilobytes(name: str) -> None:
    assert len(drawn(name)[0]) < 100_000


def test_a_drawing_in_a_notebook_is_no_wider_than_its_place() -> None:
    figure = clean_answers(clean([" a", " b"]), questions([" a", " b"]), DAYS_SAID)
    shown = to_html({"clean": figure})
    (drawing,) = re.findall("<svg [^>]*>", shown)
    assert 'style="max-width:100%;height:auto"' in drawing
    assert "viewBox=" in drawing
