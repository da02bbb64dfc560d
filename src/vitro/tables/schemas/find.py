"""Tables of a search: the circuit that was found, how it was found, and how sure that is."""

from vitro.tables.columns import PROMPT
from vitro.tables.schema import Schema, text, truth, value, whole

_COMPONENT = text("component", "a node (a9.h1, m0) or an edge (a0.h1->a9.h1<v>)")

SCHEMAS = (
    Schema(
        "find",
        "the search; one row",
        "find",
        (
            truth("found", "whether all conditions of table `verdict` hold"),
            text("why", "which of them does not hold, in words; empty where all do", nullable=True),
            text("metric", "the metric that faithfulness is of"),
            text("method", "the ablation that absent edges carry"),
            value("tau", "the least faithfulness of a circuit"),
            text("level", "node or edge: how far it was searched"),
            text("circuit", "the circuit, as `vitro circuit` reads it"),
            whole("nodes", "heads and MLPs in it"),
            whole("edges", "edges in it"),
            truth("minimal", "whether each of its nodes and edges was tried alone, and none can go"),
            whole("searched", "prompts that were searched on"),
            value("faithfulness", "on these"),
            whole("right_model", "prompts, of these, that the model answers right"),
            whole("right_circuit", "prompts, of these, that the circuit answers right"),
            whole("measured", "circuits that the search ran"),
            truth("finished", "whether there was time for all; else the same command goes on"),
        ),
    ),
    Schema(
        "find_nodes",
        "each head and MLP of the circuit",
        "find",
        (
            text("node", "its name"),
            whole("layer", "its layer"),
            whole("head", "its number among the heads of the layer; null for an MLP", nullable=True),
            value("cost", "faithfulness that the circuit loses without it"),
            value("direct", "the share of the model's metric in logits that it writes itself", nullable=True),
            text("attends_to", "of a head: the mark that it attends to most, on average over prompts", nullable=True),
            value("attention", "its weight there", nullable=True),
        ),
    ),
    Schema(
        "find_edges",
        "each edge of the circuit",
        "find",
        (
            text("source", "the node that writes"),
            text("reader", "the node that reads; `logits` at the end"),
            text("input", "of a head: q, k or v", nullable=True),
            value(
                "cost",
                "faithfulness that the circuit loses without it; null where edges were not searched",
                nullable=True,
            ),
        ),
    ),
    Schema(
        "search",
        "each component that the search dropped or took back",
        "find",
        (
            whole("step", "counted from 0"),
            text("level", "node or edge"),
            text("action", "dropped or added"),
            _COMPONENT,
            value(
                "cost",
                "faithfulness that the circuit lost without it, by itself; null where it went in the order of a score",
                nullable=True,
            ),
            whole("left", "components of this level in the circuit after the step"),
            value("faithfulness", "of the circuit after the step"),
            whole("right", "prompts that the circuit after the step answers right"),
            whole("measured", "circuits tried by then"),
        ),
    ),
    Schema(
        "verdict",
        "each condition of finding",
        "find",
        (
            text("condition", "its name"),
            value("value", "what was measured; null where it could not be", nullable=True),
            value("low", "the lower end of its 95 % interval", nullable=True),
            value("high", "the upper end", nullable=True),
            text("wanted", "what it must be, in words; empty where it is only reported"),
            truth("holds", "whether it is; null where it is only reported", nullable=True),
            text("reading", "the result in a sentence"),
        ),
    ),
    Schema(
        "ladder",
        "each rung from the circuit within the model to the smallest wiring in vitro",
        "find",
        (
            whole("rung", "counted from 0, the circuit as it was found"),
            text("name", "what was done, in a few words"),
            text("circuit", "the circuit, as `vitro circuit` reads it"),
            whole("nodes", "heads and MLPs in it"),
            whole("edges", "edges in it"),
            whole("right", "prompts that it answers right"),
            whole("model_right", "prompts that the model answers right"),
            truth("kept", "whether it still answers as many as it has to, so that the next rung stands on it"),
        ),
    ),
    Schema(
        "ladder_answers",
        "each rung and prompt",
        "find",
        (
            whole("rung", "as in table `ladder`"),
            PROMPT,
            value("value", "the metric"),
            whole("rank", "the answer's rank among the answers or beside the wrong ones; 0 is right"),
        ),
    ),
)
