"""Every claim holds of tables that are as the post says, and of none that are otherwise in its point."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from claims.posts_tables import Tables, tables
from vitro.claims import CLAIMS, Claim

BY_ID = {claim.id: claim for claim in CLAIMS}
Change = Callable[[Tables], pl.DataFrame]


def head(layer: int, number: int) -> pl.Expr:
    return (pl.col("layer") == layer) & (pl.col("head") == number)


def put(table: str, column: str, where: pl.Expr, value: object) -> tuple[str, Change]:
    """A table with one column changed in some rows."""
    return table, lambda given: given[table].with_columns(
        pl.when(where).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


C = pl.col
OTHERWISE: dict[int, list[tuple[str, Change]]] = {
    0: [put("clean", "answer_prob", C("prompt") == 6, 0.2009)],
    1: [put("clean", "answer_rank", C("prompt") == 3, 1)],
    2: [put("head_ablation", "answer_prob_change", head(3, 3) & (C("method") == "mean"), -0.2)],
    3: [put("head_ablation", "answer_prob_change", head(11, 0) & (C("method") == "zero"), 0.1)],
    4: [
        put("head_ablation", "answer_logit_change", head(10, 7) & (C("method") == "zero"), -0.001),
        put("head_ablation", "answer_logit_change", head(8, 9) & (C("method") == "mean"), -0.001),
    ],
    5: [put("head_ablation", "answer_logit_change", head(8, 8) & (C("method") == "random"), 0.001)],
    6: [put("head_ablation", "answer_prob_change", (C("layer") < 4) & (C("method") == "mean"), 0.02)],
    7: [
        put("head_lens_top", "token", head(10, 3) & (C("prompt") == 1), " Tuesday"),
        put("head_lens_top", "token", head(10, 3) & (C("prompt") == 2), " Friday"),
    ],
    8: [put("head_lens_top", "token", head(8, 1) & (C("prompt") == 5), " no day")],
    9: [put("head_lens_top", "token", head(9, 1) & (C("rank") < 3), " no day")],
    14: [
        put("head_lens", "answer_rank_among_answers", head(2, 2), 0),
        put("head_lens", "answer_rank_among_answers", head(9, 1) & (C("prompt") == 0), 1),
    ],
    15: [put("head_lens", "wrong_prob", head(10, 3), 0.593)],
    16: [put("head_lens", "wrong_prob", head(7, 10), 0.40)],
    17: [put("head_lens_top", "token", head(9, 1), " Monday")],
    18: [put("attention", "weight", head(10, 3), 0.7)],
    19: [
        put("attention", "weight", head(9, 1) & (C("position") == 4), 0.2),
        put("attention", "weight", head(9, 1) & (C("position") == 0), 0.0),
    ],
    20: [put("attention_pin", "answer_prob", C("position") == 4, 0.2)],
    21: [
        put("attention_pin", "answer_prob", C("position") == 2, 0.3),
        put("attention_pin", "answer_prob", C("position") == 4, 0.1),
    ],
    22: [
        put("stream_top", "token", (C("layer") == 10) & (C("position") == 4) & (C("prompt") == 0), " Monday"),
        put("stream_top", "token", (C("layer") == 9) & (C("position") == 4) & (C("prompt") == 6), "Sunday"),
    ],
    23: [put("layer_lens", "answer_prob", (C("layer") == 11) & (C("stage") == "post"), 0.4)],
    24: [
        put("layer_lens_top", "token", (C("layer") == 10) & (C("prompt") == 0), " tomorrow"),
        put("layer_lens_top", "token", (C("layer") == 8) & (C("prompt") == 0), " day"),
        put("layer_lens_top", "token", (C("layer") == 9) & (C("rank") == 0), " tomorrow"),
    ],
    25: [
        put("answer_table", "logit", (C("component") == "resid_post9") & (C("prompt") == 4), 0.0),
        put("answer_table", "logit", (C("component") == "resid_post8") & (C("answer") == "Friday"), 2.0),
    ],
    26: [
        put("steering_attention", "weight", C("alpha") == -1.0, 0.16),
        put("steering", "answer_prob", C("alpha") == -5.0, 0.15),
    ],
    27: [put("steering_attention", "weight", C("alpha") == 100.0, 0.74)],
    28: [
        put("mlp_local", "answer_prob_after", C("layer") == 10, 0.5),
        put("mlp_local", "answer_prob_after", C("layer") == 11, -0.5),
    ],
    29: [put("mlp_ablation", "answer_prob_change", C("layer") == 3, -0.3)],
    30: [put("circuit_answer_table", "logit", (C("circuit") == "C1") & (C("answer") == "Sunday"), 2.0)],
    31: [put("circuit_answer_table", "logit", (C("circuit") == "C2") & (C("answer") == "Sunday"), 2.0)],
    32: [put("circuit_answer_table", "logit", (C("circuit") == "C3") & (C("answer") == "Monday"), 2.0)],
    33: [put("circuits", "answer_prob", C("circuit") == "C5", 0.05)],
    34: [
        put("circuits", "top_token", (C("circuit") == "C6") & (C("prompt") == 0), " Tuesday"),
        put("circuits", "answer_rank", (C("circuit") == "C6") & (C("prompt") == 6), 0),
    ],
    35: [put("circuits", "answer_rank", (C("circuit") == "C7") & (C("prompt") == 2), 1)],
    36: [
        put("head_lens", "answer_rank_among_answers", head(9, 1), 0),
        put("head_lens", "answer_rank_among_answers", head(1, 1) & (C("prompt") > 0), 0),
    ],
    37: [
        put("circuits", "top_token", C("prompt") == 6, " July"),
        put("circuits", "answer_rank", C("prompt") == 2, 1),
    ],
    38: [put("circuits", "answer_prob", C("circuit") == "C9", 0.05)],
    39: [
        put("circuits", "answer_prob", C("circuit") == "C9", 0.75),
        put("circuits", "answer_rank", C("prompt") == 5, 1),
    ],
}
CASES = [(claim, number) for claim, changes in OTHERWISE.items() for number in range(len(changes))]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: str(claim.id))
def test_a_claim_holds_of_what_the_post_says(claim: Claim) -> None:
    finding = claim.check(tables(claim.task))
    assert finding.holds, finding.value


@pytest.mark.parametrize(("number", "case"), CASES)
def test_a_claim_differs_where_its_point_does(number: int, case: int) -> None:
    claim = BY_ID[number]
    given = tables(claim.task)
    table, change = OTHERWISE[number][case]
    given[table] = change(given)
    assert not claim.check(given).holds


def test_the_claims_are_those_of_the_method_in_order() -> None:
    ids = [claim.id for claim in CLAIMS]
    assert ids == [*range(10), *range(14, 40)]
    assert set(OTHERWISE) == set(ids)


def test_the_documentation_lists_every_claim() -> None:
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    for claim in CLAIMS:
        assert f"| {claim.id} | {claim.section} | {claim.task} | {claim.words} | {claim.expected} |" in page


def test_claims_are_of_tables_and_need_no_torch() -> None:
    code = "import sys, vitro.claims, vitro.tables, vitro.figures; print({'torch', 'transformers'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "set()"
