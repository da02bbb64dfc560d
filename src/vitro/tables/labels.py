"""Words for axes and sentences, out of the tables of the prompts."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

ELSEWHERE = "elsewhere"
"""The positions of a prompt that no mark names."""


@dataclass(frozen=True)
class Said:
    """How a task is spoken of, and by what its components are ranked (table `task`)."""

    name: str
    right: str
    """What a right token is to it: "answer"."""
    wrong: str
    """What a wrong one is: "subject"."""
    metric: str
    unit: str
    words: str
    """The metric in words."""
    ablation: str
    """The ablation that rankings and summaries go by."""
    n_prompts: int
    n_groups: int
    one_length: bool

    @property
    def change(self) -> str:
        """The column of the metric's change."""
        return f"{self.metric}_change"


def said(tables: Mapping[str, pl.DataFrame]) -> Said:
    """The one row of table `task`."""
    return Said(**tables["task"].row(0, named=True))


def labels(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """What a person calls each prompt."""
    return tables["questions"].sort("prompt")["label"].to_list()


def answers(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """The right answer of every prompt, in words."""
    return tables["questions"].sort("prompt")["answer"].to_list()


def places(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """A label for every place that prompts have in common.

    Where they differ in one position, the subject's, these are the positions: the first prompt's tokens, with the
    subject's place named instead of filled. Elsewhere they are the marks and what lies beside them.
    """
    if varies(tables):
        return first_prompt(tables)
    names = (
        tables["prompts"].drop_nulls("mark").group_by("mark").agg(pl.col("position").mean()).sort("position", "mark")
    )
    return [*names["mark"].to_list(), ELSEWHERE]


def at_places(tables: Mapping[str, pl.DataFrame], weights: pl.DataFrame) -> pl.DataFrame:
    """Weights on positions as weights on `places`, numbered as `position`: summed over what lies elsewhere."""
    if varies(tables):
        return weights
    numbers = {name: number for number, name in enumerate(places(tables))}
    marked = tables["prompts"].select(
        "prompt", "position", pl.col("mark").fill_null(ELSEWHERE).replace_strict(numbers).alias("place")
    )
    by = [name for name in weights.columns if name not in ("position", "weight")]
    return (
        weights.join(marked, on=["prompt", "position"], how="left", maintain_order="left")
        .group_by(*by, "place", maintain_order=True)
        .agg(pl.col("weight").sum())
        .rename({"place": "position"})
        .select(weights.columns)
    )


def varies(tables: Mapping[str, pl.DataFrame]) -> bool:
    """Whether prompts differ in one position alone, the subject's, so that all have the same tokens elsewhere."""
    return "subject" in tables["prompts"]["role"]


def first_prompt(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """The tokens of the first prompt, the subject's place named instead of filled where prompts differ there alone."""
    first = tables["prompts"].filter(pl.col("prompt") == 0).sort("position")
    return ["{subject}" if role == "subject" else token for token, role in first.select("token", "role").iter_rows()]


def prompt_tokens(tables: Mapping[str, pl.DataFrame]) -> list[list[str]]:
    """Every prompt's own tokens."""
    table = tables["prompts"].sort("prompt", "position").group_by("prompt", maintain_order=True).agg("token")
    return table["token"].to_list()


def head_name(layer: str = "layer", head: str = "head") -> pl.Expr:
    """A head's name in the circuits' vocabulary, a9.h1, from its columns."""
    return pl.format("a{}.h{}", layer, head)
