"""MIB's curve: how faithful circuits of growing size are, by what their edges are ranked by."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import altair as alt
import polars as pl

from vitro.figures.look import FAINT, HEAD_COLORS, INK, OWN_COLORS, dress, panel_title, values
from vitro.figures.spoken import listed
from vitro.options import SCORES
from vitro.tables.quantities import QUANTITIES

_WIDTH, _HEIGHT = 410, 280
_LOWEST, _HIGHEST = -3.0, 6.0
"""f is drawn between these: a single circuit far beyond would press all others together."""
_PANELS = {"signed": ("cpr", "CPR", "Signed scores"), "absolute": ("cmd", "CMD", "Absolute scores")}
_COLORS: Mapping[str, str] = dict(zip(SCORES, (*HEAD_COLORS[: len(SCORES) - 1], HEAD_COLORS[-1]), strict=True))
"""Each score has its own colour in every picture; the last, random, is gray."""
_DASHES = {"top": [1, 0], "greedy": [4, 3]}


def score_colors(names: Sequence[str]) -> list[str]:
    """The colours of scores; files, whose names are not known, get those that are left."""
    taken = [_COLORS[name] for name in names if name in _COLORS]
    left = cycle([color for color in HEAD_COLORS if color not in taken] or HEAD_COLORS)
    return [_COLORS.get(name) or next(left) for name in names]


NO_SEARCH = pl.DataFrame(
    schema={
        **{"by": pl.String, "n": pl.Int64, "size": pl.Float64, "f": pl.Float64},
        **{"ranking": pl.String, "score": pl.String, "selection": pl.String, "ranked_f": pl.Float64},
        **{"rivals": pl.Int64, "better": pl.Boolean, "beyond": pl.Boolean},
    }
)
"""Where there was no search: no circuits of it, and nothing that they are compared with."""


def edge_curves(points: pl.DataFrame, areas: pl.DataFrame, search: pl.DataFrame = NO_SEARCH) -> alt.HConcatChart:
    """f over the share of edges, a panel for each ranking and a colour for each score, greedy selection dashed.

    points: by, ranking, selection, size, n, edges, f; circuits without a ranking are in both panels. areas: table
    `curve_areas`; each panel's legend has the area that MIB takes from its ranking. search: by, n, size and f of a
    search's circuits, `find` being the one that it ended with, and for each ranking the best of as many edges; they are
    diamonds in both panels.
    """
    scores = areas["by"].unique(maintain_order=True).to_list()
    panels = [_panel(points, areas, ranking, scores, search.filter(ranking=ranking)) for ranking in _PANELS]
    of = areas.row(0, named=True)
    f = pl.concat([points["f"], search["f"]])
    beyond = f.filter(~f.is_between(_LOWEST, _HIGHEST))
    notes = []
    if search.height:
        notes.append("Diamonds: circuits of a search by exact removals; the large one is what it ended with.")
    if len(beyond):
        notes.append(f"{len(beyond)} circuits lie beyond the axis: f goes from {min(f):.3g} to {max(f):.3g}.")
    return dress(
        alt.HConcatChart(hconcat=panels, spacing=40, resolve=OWN_COLORS),
        f"What the best edges keep of {QUANTITIES[of['metric']].words}",
        f"f: 0 as with every edge at its {of['method']} ablation, 1 as the whole model (gray line). "
        "Solid: the best edges of all; dashed: greedy, from the logits down.",
        *notes,
        gist="Areas: " + listed(dict.fromkeys(_areas(areas))) + ".",
    )


def _areas(areas: pl.DataFrame) -> Iterator[str]:
    for ranking, (column, area, _) in _PANELS.items():
        here = pl.col("ranking").is_null() | (pl.col("ranking") == ranking)
        for score in areas["by"].unique(maintain_order=True):
            yield _legend(areas.filter(here, by=score), column, area)


def _panel(
    points: pl.DataFrame, areas: pl.DataFrame, ranking: str, scores: list[str], search: pl.DataFrame
) -> alt.LayerChart:
    column, area, title = _PANELS[ranking]
    here = pl.col("ranking").is_null() | (pl.col("ranking") == ranking)
    legends = {score: _legend(areas.filter(here, by=score), column, area) for score in scores}
    rows = points.filter(here).with_columns(
        pl.col("by").replace_strict(legends).alias("legend"), pl.col("selection").fill_null("top")
    )
    key = alt.Legend(orient="top", title=None, columns=1, symbolType="stroke", symbolStrokeWidth=3, offset=8)
    # A search may end with fewer edges than MIB's smallest circuit has. A margin, so that dots at the ends are whole.
    share = alt.Scale(type="log", domain=[min([0.0009, *(0.8 * search["size"])]), 1.1], nice=False)
    # A margin, so that dots at 0 and 1 are whole.
    f = [*rows["f"], *search["f"]]
    lowest, highest = max(_LOWEST, min(0.0, *f)), min(_HIGHEST, max(1.0, *f))
    margin = 0.04 * (highest - lowest) if search.height else 0.05
    lowest, highest = lowest - margin, highest + margin
    span = alt.Scale(domain=[lowest, highest], nice=False)
    base = alt.Chart(values(rows)).encode(
        x=alt.X("size:Q", title="share of all edges", scale=share).axis(
            values=[0.001, 0.01, 0.1, 1], format="~%", grid=False
        ),
        y=alt.Y("f:Q", title="faithfulness f", scale=span).axis(tickCount=6, domain=False, ticks=False, offset=6),
        color=alt.Color(
            "legend:N", scale=alt.Scale(domain=list(legends.values()), range=score_colors(scores)), legend=key
        ),
        strokeDash=alt.StrokeDash(
            "selection:N", scale=alt.Scale(domain=list(_DASHES), range=list(_DASHES.values())), legend=None
        ),
    )
    names = [
        alt.Tooltip("by:N", title="score"),
        alt.Tooltip("selection:N"),
        alt.Tooltip("size:Q", title="share of all edges", format="~%"),
        alt.Tooltip("n:Q", title="edges", format=","),
        alt.Tooltip("edges:Q", title="left after pruning", format=","),
        alt.Tooltip("f:Q", format=".4g"),
    ]
    line = base.mark_line(strokeWidth=2, clip=True)
    dots = base.mark_point(filled=True, size=30, opacity=1, stroke="white", strokeWidth=0.8, clip=True).encode(
        tooltip=names, strokeDash=alt.value([1, 0])
    )
    model = alt.Chart(alt.InlineData([{"f": 1.0}])).mark_rule(color=FAINT).encode(y="f:Q")
    layers = [model, line, dots, *(_diamonds(search, base.encoding.x, base.encoding.y) if search.height else [])]
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=panel_title(f"{title}: {area}"))


def _diamonds(search: pl.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The circuits of a search, joined, and how many edges are left at its end."""
    beside = pl.format("{} ({}, {})", pl.col("ranked_f").round(3), "score", "selection")
    base = alt.Chart(values(search.with_columns(beside.alias("beside")))).encode(x=x, y=y)
    last = "datum.by === 'find'"
    names = [
        alt.Tooltip("size:Q", title="share of all edges", format="~%"),
        alt.Tooltip("n:Q", title="edges", format=","),
        alt.Tooltip("f:Q", format=".4g"),
        alt.Tooltip("beside:N", title="the best of as many edges"),
    ]
    line = base.mark_line(strokeWidth=1, color=INK, clip=True)
    dots = base.mark_point(
        shape="diamond", filled=True, opacity=1, color=INK, stroke="white", strokeWidth=0.8, clip=True
    ).encode(size=alt.when(last).then(alt.value(170)).otherwise(alt.value(60)), tooltip=names)
    word = base.transform_filter(last).mark_text(align="left", dx=9, dy=12, color=INK, fontSize=11)
    return [line, dots, word.transform_calculate(word="'the search: ' + datum.n + ' edges'").encode(text="word:N")]


def _legend(areas: pl.DataFrame, column: str, area: str) -> str:
    """`eap-ig: CPR 0.931, greedy 0.902`."""
    score, selection = areas["by"][0], areas["selection"].fill_null("top")
    by_selection = dict(zip(selection, areas[column], strict=True))
    greedy = f", greedy {by_selection['greedy']:.3f}" if "greedy" in by_selection else ""
    return f"{score}: {area} {by_selection['top']:.3f}{greedy}"
