"""Tables of the model's edges."""

from collections.abc import Mapping

from vitro.options import SCORES, ScoreName
from vitro.tables.columns import CHANGE_COLUMNS, INPUT, METHOD, PROMPT, SCORE, SOURCE, TARGET
from vitro.tables.schema import Schema, text, value

SCORE_TABLES: Mapping[ScoreName, str] = {
    name: "edges" if name == "exact" else f"edges_{name.replace('-', '_')}" for name in SCORES
}
"""The table of each score of edges."""


def _scored(name: ScoreName, table: str) -> Schema:
    row = "each prompt and edge, " + ("cut alone" if name == "exact" else f"scored by `{name}`")
    columns = CHANGE_COLUMNS if name == "exact" else (SCORE,)
    return Schema(table, row, table, (PROMPT, SOURCE, TARGET, INPUT, METHOD, *columns), f"edges --scores {name}")


SCHEMAS = (
    *(_scored(name, table) for name, table in SCORE_TABLES.items()),
    Schema(
        "edges_agreement",
        "each score beside `exact`, and edge",
        "edges_agreement",
        (
            text("by", "the score, as `--scores` takes it"),
            SOURCE,
            TARGET,
            INPUT,
            value("exact", "the mean, over prompts, of what the metric loses where the edge is cut", "nats"),
            value("score", "the mean of its score"),
        ),
        "edges",
    ),
)
