"""What the figures of an atlas have in common: names, links, colours of families, and what a filter leaves of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import altair as alt
import polars as pl
from altair.typing import ChannelHref

from vitro.figures.axes import longest
from vitro.figures.look import HEAD_COLORS, WIDTH
from vitro.figures.spread import some_prompts
from vitro.figures.tokens import readable

FILTERS = ("task", "family", "state", "model")
"""What the cells of an atlas are filtered by, on its page and in its figures; of a model, any part of its name."""
MARKS = 3000
"""Marks that a figure has at most: with more, a page of figures takes long to open."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3], [10, 4], [1, 3])
_LONGEST = 34
_LABEL, _SYMBOL = 220, 34
_OTHERS, _UNKNOWN = "others", "unknown"
_IS_LEFT = (
    "(only_task === '' || datum.task === only_task || datum.other === only_task)"
    " && (only_family === '' || datum.family === only_family)"
    " && (only_state === '' || datum.state === only_state)"
    " && (only_model === '' || indexof(lower(datum.model), only_model) >= 0)"
)
_Chart = TypeVar("_Chart", alt.LayerChart, alt.ConcatChart)


def filtered(chart: _Chart) -> _Chart:
    """The chart of the cells that the parameters `only_task`, `only_family`, ... leave: all where these are empty.

    Its data have the columns of `FILTERS`, and may have `other`, a second task. `only_model` is in lower case.
    """
    listening: _Chart = chart.transform_filter(_IS_LEFT).add_params(
        *(alt.param(name=f"only_{name}", value="") for name in FILTERS)
    )
    return listening


def cells_of(atlas: pl.DataFrame) -> pl.DataFrame:
    """Table `atlas` in the order of its figures, with what they all draw.

    By family, size, training run and step; `name`: the model's, short; `size`: its parameters in words; `link`: where
    its study's report lies, of a cell that is done; `hue` and `shape`: its family and its task in a legend. What is
    known of a model by one of its cells is said of those that failed too.
    """
    known = [pl.col(column).drop_nulls().first().over("model") for column in ("family", "parameters")]
    ordered = atlas.with_columns(*known, row=pl.int_range(pl.len())).sort(
        "family", "parameters", "series", "step", "row", nulls_last=True, maintain_order=True
    )
    links = [link(folder) if state == "done" else None for folder, state in ordered.select("folder", "state").rows()]
    return ordered.drop("row").with_columns(
        pl.col("model").replace_strict(short_names(ordered["model"]), return_dtype=pl.String).alias("name"),
        pl.col("parameters").map_elements(size_in_words, return_dtype=pl.String).alias("size"),
        pl.Series("link", links, dtype=pl.String),
        hue=families_of(atlas).legend(pl.col("family")),
        shape=tasks_of(atlas).legend(pl.col("task")),
    )


def link(folder: str) -> str:
    """The address of a study's report, relative to the page of the atlas.

    >>> link("cells/days/a b"), link("//evil/x")
    ('cells/days/a%20b/report.html', './/evil/x/report.html')
    """
    path = quote(folder.encode("utf-8", "surrogateescape"))
    return f"{'.' if path.startswith('/') else ''}{path}/report.html"


def short_names(models: pl.Series) -> dict[str, str]:
    """Names for labels: of a long one its end, which tells checkpoints of a run apart; no two are alike.

    >>> short_names(pl.Series(["gpt2", "/a/very/long/path/to/the/checkpoints/step1000"]))
    {'gpt2': 'gpt2', '/a/very/long/path/to/the/checkpoints/step1000': '…g/path/to/the/checkpoints/step1000'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for model in models.unique(maintain_order=True):
        shown = readable(model)
        short = shown if len(shown) <= _LONGEST else f"…{shown[-_LONGEST:]}"
        number = 2
        unique = short
        while unique in taken:
            unique, number = f"{short} ({number})", number + 1
        names[model] = unique
        taken.add(unique)
    return names


def size_in_words(parameters: int) -> str:
    """How many parameters, to three digits.

    >>> size_in_words(124_439_808), size_in_words(1_235_814_400), size_in_words(912)
    ('124M', '1.24B', '912')
    """
    for unit, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if parameters >= 0.9995 * unit:
            return f"{float(f'{parameters / unit:.3g}'):g}{letter}"
    return str(parameters)


@dataclass(frozen=True)
class Kinds:
    """Kinds that a legend tells apart: the most frequent ones by name, and what all others are called."""

    names: tuple[str, ...]
    looks: tuple[Any, ...]
    others: str = ""

    def legend(self, kind: pl.Expr) -> pl.Expr:
        """What the legend calls a kind; one that is null is unknown."""
        known = kind.fill_null(_UNKNOWN)
        shown = known.map_elements(readable, return_dtype=pl.String)
        return pl.when(known.is_in(list(self.names))).then(shown).otherwise(pl.lit(self.others))

    @property
    def look_of(self) -> dict[str, Any]:
        """How each name of the legend looks."""
        named = dict(zip(map(readable, self.names), self.looks, strict=False))
        return named | ({self.others: self.looks[-1]} if self.others else {})

    def scale(self, drawn: pl.Series) -> alt.Scale:
        """The scale of those that are drawn: each looks as in every other figure.

        drawn: names as in the legend, once or more.
        """
        present = set(drawn)
        looks = {name: look for name, look in self.look_of.items() if name in present}
        return alt.Scale(domain=list(looks), range=list(looks.values()))


def families_of(atlas: pl.DataFrame) -> Kinds:
    """Colours of families, by name; of more than there are colours, the rarer ones are gray."""
    family = pl.col("family").drop_nulls().first().over("model")
    return _kinds(atlas.with_columns(family), "family", HEAD_COLORS, "other families", named=True)


def tasks_of(atlas: pl.DataFrame) -> Kinds:
    """Shapes of tasks, in the order of the atlas."""
    return _kinds(atlas, "task", SHAPES, "other tasks")


def series_of(atlas: pl.DataFrame) -> Kinds:
    """Colours of training runs."""
    return _kinds(atlas, "series", HEAD_COLORS, "other runs")


def dashes_of(atlas: pl.DataFrame) -> Kinds:
    """Dashes of tasks, in the order of the atlas."""
    return _kinds(atlas, "task", DASHES, "other tasks")


def _kinds(atlas: pl.DataFrame, column: str, looks: tuple[Any, ...], others: str, *, named: bool = False) -> Kinds:
    counts = atlas.with_columns(pl.col(column).fill_null(_UNKNOWN)).group_by(column, maintain_order=True).len()
    last = len(looks)
    if len(counts) <= last - 1:
        kept = counts[column].to_list()
        return Kinds(tuple(sorted(kept) if named else kept), looks)
    common = counts.sort("len", descending=True, maintain_order=True)[column].to_list()[: last - 1]
    return Kinds(tuple(sorted(common)) if named else tuple(common), looks, others)


DOTS: Mapping[str, Any] = {"symbolSize": 70, "symbolStrokeWidth": 1.5}
LINES: Mapping[str, Any] = {"symbolType": "stroke", "symbolSize": 500, "symbolStrokeWidth": 2}
"""The symbols of a legend."""


def hue(kinds: Kinds, title: str, drawn: pl.Series, symbols: Mapping[str, Any] = DOTS) -> alt.Color:
    """The colour of a family, or of a training run. drawn: the column that says which."""
    scale = kinds.scale(drawn)
    return alt.Color(f"{drawn.name}:N", scale=scale, legend=legend(scale, title, symbols))


def shape(kinds: Kinds, drawn: pl.Series) -> alt.Shape:
    """The shape of a task. drawn: the column that says which."""
    scale = kinds.scale(drawn)
    return alt.Shape(f"{drawn.name}:N", scale=scale, legend=legend(scale, "Task"))


def legend(scale: alt.Scale, title: str, symbols: Mapping[str, Any] = DOTS) -> alt.Legend:
    """A legend above the panels, no wider than half a page: two stand side by side."""
    widest = min(_LABEL, longest(scale["domain"])) + _SYMBOL
    columns = max(1, int(0.45 * WIDTH // widest))
    return alt.Legend(
        orient="top", title=title, columns=columns, symbolOpacity=1, labelLimit=_LABEL, offset=10, **symbols
    )


def some_models(cells: pl.DataFrame, marks: int = 1) -> tuple[pl.DataFrame, str]:
    """As many cells as a figure can draw with so many marks each, and words on those that are left out, if any are.

    Of models some are left out, evenly spread; of tasks only where one model has more than a figure can draw.
    """
    most = MARKS // max(1, marks)
    kept, words = cells, []
    for column, spread in (("model", "evenly spread by family and size"), ("task", "evenly spread")):
        names = cells[column].unique(maintain_order=True)
        each = max(1, kept.height // max(1, len(names)))
        chosen = some_prompts(len(names), at_most=max(1, most // each))
        if len(chosen) < len(names):
            kept = kept.filter(pl.col(column).is_in(names[chosen].to_list()))
            words.append(f"{len(chosen):,} of {len(names):,} {column}s are drawn, {spread}.")
    return kept, " ".join(words)


def of_cell(*more: alt.Tooltip) -> list[alt.Tooltip]:
    """What hovering tells of a cell: model, task and family before anything else."""
    return [
        alt.Tooltip("model:N"),
        alt.Tooltip("task:N"),
        alt.Tooltip("family:N"),
        alt.Tooltip("size:N", title="parameters"),
        *more,
    ]


def leads() -> ChannelHref:
    """A click leads to the cell's study, if it has one."""
    # A field that a row lacks would lead to a page called "undefined".
    return alt.when("isValid(datum.link)").then("link:N").otherwise(alt.value(""))
