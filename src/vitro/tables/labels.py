"""Words for axes and sentences, out of the tables of the prompts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from vitro.tables.quantities import QUANTITIES, Quantity

ELSEWHERE = "elsewhere"
"""The positions of a prompt that no mark names."""
_OTHERS = "others"
"""Prompts without a kind, where others have one."""


def counted(n: int, what: str = "prompt") -> str:
    """A number of things: one of them, or several.

    >>> counted(1), counted(1200, "edge")
    ('1 prompt', '1,200 edges')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class Said:
    """The words for a task, and what its components are ranked by (table `task`)."""

    name: str
    right: str
    """What a right token is called: "answer"."""
    wrong: str
    """What a wrong token is called: "subject"."""
    metric: str
    unit: str
    words: str
    """The metric in words."""
    ablation: str
    """The ablation that rankings and summaries go by."""
    n_prompts: int
    n_swept: int
    """The number of prompts on which every component is ablated."""
    n_groups: int
    n_answers: int
    """Of the closed list of answers; 0 where there is none."""
    one_length: bool

    @property
    def change(self) -> str:
        """The column of the metric's change."""
        return f"{self.metric}_change"

    @property
    def quantity(self) -> Quantity:
        """The metric."""
        return QUANTITIES[self.metric]

    @property
    def rivals(self) -> str:
        """What the answer is ranked against: the list's other answers or, without a list, the wrong tokens."""
        return "all other answers" if self.n_answers else the(self.wrong)


def the(name: str) -> str:
    """A word of a task with its article; a mark that is no word is unchanged.

    >>> from vitro.tables.labels import the
    >>> the("subject"), the("S2")
    ('the subject', 'S2')
    """
    return f"the {name}" if name.islower() else name


def said(tables: Mapping[str, pl.DataFrame]) -> Said:
    """The row of table `task`."""
    return Said(**tables["task"].row(0, named=True))


def labels(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """What a person calls each prompt.

    >>> labels({"questions": pl.DataFrame({"prompt": [1, 0], "label": ["Tuesday", "Monday"]})})
    ['Monday', 'Tuesday']
    """
    return tables["questions"].sort("prompt")["label"].to_list()


def with_kinds(table: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """A table of prompts with the kind of each (`kind`), sorted as a person counts: ABBA 2 before ABBA 10.

    questions: table `questions`, whose groups are the kinds.
    """
    kinds = questions.select("prompt", pl.col("group").fill_null("").replace("", _OTHERS).alias("kind"))
    in_order = sorted(kinds["kind"].unique(), key=_counted)
    return table.join(kinds.with_columns(pl.col("kind").cast(pl.Enum(in_order))), on="prompt", maintain_order="left")


def _counted(name: str) -> list[tuple[str, int]]:
    """A name in pieces, with its numbers as integers."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d{1,18})?", name)]


def answers(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """The right answer of every prompt, in words.

    >>> answers({"questions": pl.DataFrame({"prompt": [1, 0], "answer": ["Wednesday", "Tuesday"]})})
    ['Tuesday', 'Wednesday']
    """
    return tables["questions"].sort("prompt")["answer"].to_list()


def places(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """A label for every place that prompts have in common.

    If prompts differ only at the subject, places are positions: the first prompt's tokens, with `{subject}` at the
    subject's. Otherwise they are BOS, where heads rest, the marks, and everything elsewhere.
    """
    if varies(tables):
        return first_prompt(tables)
    names = (
        tables["prompts"]
        .select("position", _PLACE.alias("place"))
        .drop_nulls("place")
        .group_by("place")
        .agg(pl.col("position").mean())
        .sort("position", "place")
    )
    return [*names["place"].to_list(), ELSEWHERE]


def numbered(tables: Mapping[str, pl.DataFrame], labels: Sequence[str]) -> list[str]:
    """Labels of places as columns: with their positions, where places are positions ("2 today", "4 {subject}")."""
    if not varies(tables):
        return list(labels)
    return [f"{position} {label.removeprefix(' ') or label}" for position, label in enumerate(labels)]


def at_places(tables: Mapping[str, pl.DataFrame], weights: pl.DataFrame) -> pl.DataFrame:
    """Weights on positions as weights on `places`, numbered as `position`; those elsewhere are summed."""
    if varies(tables):
        return weights
    numbers = {name: number for number, name in enumerate(places(tables))}
    marked = tables["prompts"].select(
        "prompt", "position", _PLACE.fill_null(ELSEWHERE).replace_strict(numbers).alias("place")
    )
    by = [name for name in weights.columns if name not in ("position", "weight")]
    return (
        weights.join(marked, on=["prompt", "position"], how="left", maintain_order="left")
        .group_by(*by, "place", maintain_order=True)
        .agg(pl.col("weight").sum())
        .rename({"place": "position"})
        .select(weights.columns)
    )


_PLACE = pl.coalesce("mark", pl.when(pl.col("role") == "bos").then("token"))


def varies(tables: Mapping[str, pl.DataFrame]) -> bool:
    """Whether prompts differ only in the subject's position, so that all have the same tokens elsewhere."""
    return "subject" in tables["prompts"]["role"]


def first_prompt(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """The tokens of the first prompt, with `{subject}` at the subject where prompts differ only there."""
    first = tables["prompts"].filter(pl.col("prompt") == 0).sort("position")
    return ["{subject}" if role == "subject" else token for token, role in first.select("token", "role").iter_rows()]


def prompt_tokens(tables: Mapping[str, pl.DataFrame]) -> list[list[str]]:
    """Every prompt's own tokens."""
    table = tables["prompts"].sort("prompt", "position").group_by("prompt", maintain_order=True).agg("token")
    return table["token"].to_list()


def head_name(layer: str = "layer", head: str = "head") -> pl.Expr:
    """A head's name as in circuits, a9.h1, from its columns.

    >>> pl.DataFrame({"layer": [9], "head": [1]}).select(name=head_name())["name"].to_list()
    ['a9.h1']
    """
    return pl.format("a{}.h{}", layer, head)
