"""Tables of the model's edges."""

from vitro.tables.columns import APPROXIMATION, CHANGE_COLUMNS, INPUT, METHOD, PROMPT, SOURCE, TARGET
from vitro.tables.schema import Schema, value

SCHEMAS = (
    Schema(
        "edges_approx",
        "each prompt, edge and approximation of what cutting it changes",
        "edges_approx",
        (PROMPT, SOURCE, TARGET, INPUT, METHOD, APPROXIMATION, *CHANGE_COLUMNS),
        "edges",
    ),
    Schema(
        "edges",
        "each prompt and edge, cut alone",
        "edges",
        (PROMPT, SOURCE, TARGET, INPUT, METHOD, *CHANGE_COLUMNS),
        "edges",
    ),
    Schema(
        "edges_agreement",
        "each edge and approximation",
        "edges_agreement",
        (
            SOURCE,
            TARGET,
            INPUT,
            APPROXIMATION,
            value("exact", "the mean change, over prompts, of the metric by which edges are ranked, cut exactly"),
            value("approximate", "the same, approximated"),
        ),
        "edges",
    ),
)
