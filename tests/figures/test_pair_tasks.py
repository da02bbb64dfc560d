"""Pictures of tasks whose answers are of no list: prompts by their kind, marks in the place of positions."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import IOI_SAID, clean, questions
from figures.living_tables import (
    attention_pattern_table,
    head_lens_table,
    layer_lens_table,
    layer_lens_top_table,
    steering_attention_table,
    steering_table,
    steering_vector_table,
)
from vitro.figures import (
    Figure,
    attention_patterns,
    clean_answers,
    head_lens,
    layer_lens,
    layer_top_tokens,
    patching_heatmaps,
    steering,
    to_spec,
    to_svg,
)

LABELS = [f"{n}: Mary, John, John" for n in range(100)]
KINDS = [f"{order} {n}" for n in range(10, 0, -1) for order in ("BABA", "ABBA")][:15]


def by_kind(wrong: frozenset[int] = frozenset()) -> Figure:
    groups = [KINDS[n % 15] for n in range(100)]
    return clean_answers(clean(LABELS, wrong), questions(LABELS, groups), IOI_SAID)


def rows(figure: Figure) -> list[dict[str, Any]]:
    return max(to_spec(figure)["datasets"].values(), key=len)


def width(figure: Figure) -> float:
    return float(to_svg(figure).split('width="')[1].split('"')[0])


def test_of_a_hundred_prompts_of_fifteen_kinds_each_line_is_a_kind_in_the_order_in_which_one_counts() -> None:
    shown = rows(by_kind())
    assert [row["label"] for row in shown] == [
        *(f"ABBA {n}" for n in range(4, 11)),
        *(f"BABA {n}" for n in range(3, 11)),
    ]


def test_a_kind_is_blue_where_most_of_its_prompts_are_right_and_says_how_many() -> None:
    of_the_first = [n for n in range(100) if n % 15 == 0]
    shown = {row["label"]: row for row in rows(by_kind(wrong=frozenset(of_the_first[:4])))}
    assert (shown[KINDS[0]]["top"], shown[KINDS[0]]["first"]) == ("3 of 7", "3 of 7")
    assert shown[KINDS[0]]["outcome"] != shown[KINDS[1]]["outcome"]
    assert "A line is a kind of prompt" in to_svg(by_kind())


def test_a_kind_has_the_mean_of_its_prompts() -> None:
    own = [0.2 + 0.01 * (n % 7) for n in range(100) if n % 15 == 0]
    shown = {row["label"]: row for row in rows(by_kind())}
    assert shown[KINDS[0]]["answer_prob"] == pytest.approx(sum(own) / len(own), rel=1e-3)


@pytest.mark.parametrize("kinds", [1, 400])
def test_of_five_hundred_prompts_forty_lines_are_drawn_and_the_subtitle_says_so(kinds: int) -> None:
    labels = [f"{n}: Mary" for n in range(500)]
    groups = [f"kind {n % kinds}" for n in range(500)]
    said = replace(IOI_SAID, n_prompts=500, n_groups=kinds)
    figure = clean_answers(clean(labels), questions(labels, groups), said)
    assert len(rows(figure)) == 40
    assert f"40 of {kinds if kinds > 1 else 500} are drawn, evenly spread" in to_svg(figure)


def test_prompts_of_no_kind_among_others_are_the_others() -> None:
    groups = ["ABBA 1", "", "ABBA 2"] * 33 + [""]
    figure = clean_answers(clean(LABELS), questions(LABELS, groups), IOI_SAID)
    assert [row["label"] for row in rows(figure)] == ["ABBA 1", "ABBA 2", "others"]


@pytest.mark.parametrize("label", ["1: Mary", "1: Christina, Elizabeth, Christina"])
def test_long_labels_take_room_from_the_bars_and_not_from_the_page(label: str) -> None:
    labels = [label] * 12
    assert width(clean_answers(clean(labels), questions(labels), IOI_SAID)) <= 1000
    assert width(layer_top_tokens(layer_lens_top_table([f"{label} {n}" for n in range(12)]), [label] * 12)) <= 1000


def test_without_a_list_the_lens_says_what_the_answer_is_held_against() -> None:
    table = head_lens_table().with_columns(
        pl.lit(None).cast(pl.Int64).alias("subject_rank_among_words"),
        pl.lit(None).cast(pl.Boolean).alias("subject_last_among_words"),
    )
    svg = to_svg(head_lens(table, IOI_SAID))
    assert "the indirect object" in svg
    assert "above the subject in every prompt" in svg
    assert "copying" not in svg
    scales = [
        panel["layer"][0]["encoding"]["color"]["scale"] for panel in to_spec(head_lens(table, IOI_SAID))["hconcat"]
    ]
    assert [scale["domain"][0] for scale in scales] == [1, 1, -1]


def test_without_a_list_one_line_counts_the_prompts_in_which_the_answer_leads() -> None:
    spec = to_spec(layer_lens(layer_lens_table(), IOI_SAID))
    leads = spec["datasets"][spec["vconcat"][1]["data"]["name"]]
    assert {row["over"] for row in leads} == {"answer above the subject"}


def test_a_push_from_wrong_to_right_is_said_in_words_and_a_mark_has_no_article() -> None:
    vector = steering_vector_table("right - wrong").with_columns(mark=pl.lit("S2"))
    svg = to_svg(steering(steering_table(), steering_attention_table(), vector, IOI_SAID))
    assert "pushed from wrong to right" in svg
    assert "right minus that of wrong" in svg
    assert "attention from the final stream to S2" in svg


def test_a_pattern_of_one_prompt_is_no_mean() -> None:
    tokens = [f" t{n}" for n in range(8)]
    assert "in the first prompt" in to_svg(attention_patterns(attention_pattern_table(prompts=1), tokens))


def test_patched_sites_have_their_own_names_and_marks_stand_in_the_order_of_the_table() -> None:
    marks = ["IO", "S1", "final"]
    rows = [
        (prompt, site, layer, mark, 5 - place if prompt else place, -0.1 * layer)
        for site in ("resid_pre", "mlp_out")
        for layer in range(2)
        for place, mark in enumerate(marks)
        for prompt in range(3)
    ]
    columns = ["prompt", "site", "layer", "place", "position", "logit_diff_change"]
    table = pl.DataFrame(rows, schema=columns, orient="row").with_columns(head=pl.lit(None, dtype=pl.Int64))
    svg = to_svg(patching_heatmaps(table, IOI_SAID))
    assert "ablation" not in svg
    assert [svg.index(f">{mark}</text>") for mark in marks] == sorted(svg.index(f">{mark}</text>") for mark in marks)
