"""Tables of MIB's curve."""

import polars as pl

from vitro.tables.columns import METHOD, PROMPT
from vitro.tables.schema import Column, Schema, text, truth, value, whole

BY = text("by", "what ranks the edges: a score, as `--scores` takes it, or a file")
BY_OR_SEARCH = text("by", f"{BY.meaning}; or `search` of circuits on the way of `vitro find`, `find` of its last")
RANKING = text("ranking", "signed or absolute scores; null where circuits are given, not ranked", nullable=True)
SELECTION = text("selection", "top, the best of all, or greedy, from the logits down; null as before", nullable=True)
METRIC = text("metric", "the metric by which edges are scored and circuits are judged")
CPR = value("cpr", "the area under f over the shares of edges, as MIB takes it from the signed ranking")
CMD = value("cmd", "the area of abs(1 - f), as MIB takes it from the absolute ranking")

SCHEMAS = (
    Schema(
        "curve",
        "each score, ranking, selection, size and prompt: a circuit within the model; at MIB's sizes and, where there "
        "was a search, at those of its circuits",
        "curve",
        (
            BY_OR_SEARCH,
            RANKING,
            SELECTION,
            Column("size", pl.Float64, "the share of all edges"),
            whole("n", "how many edges were taken"),
            whole("edges", "how many of these are left after pruning"),
            PROMPT,
            value("value", "the circuit's metric (that of `curve_areas`)"),
            value("model", "the model's"),
            value("empty", "the empty circuit's"),
        ),
        "curve",
    ),
    Schema(
        "curve_areas",
        "each score, ranking and selection",
        "curve",
        (
            BY,
            RANKING,
            SELECTION,
            METRIC,
            METHOD,
            CPR,
            value("cpr_low", "the lower end of its 95 % bootstrap interval over prompts", nullable=True),
            value("cpr_high", "the upper end; both null of a single prompt", nullable=True),
            CMD,
            value("cmd_low", "as for CPR", nullable=True),
            value("cmd_high", "as for CPR", nullable=True),
        ),
        "curve",
    ),
    Schema(
        "curve_choices",
        "each kind of ablation, metric, score and ranking: edges scored and circuits judged by that ablation and "
        "metric (by `kl` judged only; the study's own metric scores)",
        "curve_choices",
        (
            METHOD,
            METRIC,
            truth("own", "whether these are the study's own ablation and metric"),
            BY,
            text("ranking", "signed or absolute scores"),
            value(
                "cpr",
                "as in `curve_areas`; null where scores come to infinity or there is nothing to explain",
                nullable=True,
            ),
            value("cmd", "as in `curve_areas`; null where CPR is", nullable=True),
            truth(
                "leads",
                "whether the area that MIB takes from this ranking is the best of all scores, and stays so in "
                "95 % of bootstrap samples of the prompts",
            ),
        ),
        "curve --vary",
    ),
)
