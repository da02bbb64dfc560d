"""The head of a study's page: what its search found, in words."""

import polars as pl

from vitro.report.page import Condition, Head, Number, Sentence
from vitro.tables import Tables, counted, marks, outcome
from vitro.tables.quantities import QUANTITIES

SECTION = "find"
"""The section of the search, with the figures `found_circuit`, `search_steps` and `ladder`, as far as it has them."""
HELD_OUT = "held_out"
"""The condition of table `verdict` that is faithfulness on held-out prompts."""


def found_head(tables: Tables) -> Head:
    """Question answered, or not: the tables `find`, `verdict` and `ladder` in the words that open a page.

    Where a condition does not hold, the answer says so first; where nothing was searched, nothing is drawn and counted.
    """
    searched, verdict = tables["find_nodes"].height > 0, tables["verdict"]
    conditions = zip(verdict["reading"], marks(verdict), strict=True)
    return Head(
        answer=_found(tables) if outcome(tables) == "found" else not_found(tables),
        figure="found_circuit" if searched else "",
        numbers=_numbers(tables) if searched else (),
        conditions=[Condition(reading, mark, SECTION) for reading, mark in conditions],
        depth=_depth(tables),
    )


def _found(tables: Tables) -> str:
    search = tables["find"].row(0, named=True)
    right = f"{search['right_circuit']} of {search['searched']} prompts are answered right"
    whole = f"by the whole model {search['right_model']}"
    return f"Found: {_parts(tables)}. With all else ablated ({search['method']}) {right}; {whole}."


def not_found(tables: Tables) -> str:
    """How far a search came that found no circuit, and why: on the page and in the terminal alike."""
    search = tables["find"].row(0, named=True)
    if outcome(tables) == "not settled":
        return (
            f"Not settled: the search came to {_parts(tables)}, and what was measured speaks for them, but the time "
            "was up before all was. The command vitro find goes on from there."
        )
    wanted = tables["verdict"].drop_nulls("holds")
    failing = wanted.filter(~pl.col("holds"))["reading"].to_list()
    if search["nodes"] == 0 or not failing:
        return f"Not found. {search['why'] or ''}".strip()
    do_not = "does not" if len(failing) == 1 else "do not"
    conditions = f"{len(failing)} of {len(wanted)} conditions {do_not} hold"
    return f"Not found: the search came to {_parts(tables)}, but {conditions}. {failing[0]}"


def _parts(tables: Tables) -> str:
    """`18 heads and 4 MLPs`."""
    heads, mlps = (len(tables["find_nodes"].filter(which)) for which in (pl.col("head") >= 0, pl.col("head").is_null()))
    parts = [(heads, "head"), (mlps, "MLP")]
    return " and ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts if count)


def _numbers(tables: Tables) -> list[Number]:
    """How small, how faithful and how right the circuit is."""
    search = tables["find"].row(0, named=True)
    quantity = QUANTITIES[search["metric"]].short
    proved = ", of which none can go" if search["minimal"] else ", not proved to be the fewest"
    steps = "figure-search_steps" if tables["search"].height else SECTION
    held_out = tables["verdict"].filter(condition=HELD_OUT).drop_nulls("value").to_dicts()
    value, where, at = search["faithfulness"], f"the {counted(search['searched'])} searched on", steps
    if held_out:
        value, where, at = held_out[0]["value"], "prompts held out", SECTION
        if held_out[0]["low"] is not None:
            where += f" ({held_out[0]['low']:.2f} to {held_out[0]['high']:.2f})"
    return [
        Number(
            str(search["nodes"]),
            f"component{'' if search['nodes'] == 1 else 's'}, {_parts(tables)}, with {search['edges']} edges{proved}",
            steps,
        ),
        Number(f"{value:.2f}", f"of the model's {quantity} kept on {where}", at),
        Number(
            f"{search['right_circuit']} of {search['searched']}",
            f"prompts answered right by the circuit, {search['right_model']} by the model",
            SECTION,
        ),
    ]


def _depth(tables: Tables) -> Sentence | None:
    """How far the circuit could be taken out of the model."""
    kept = tables["ladder"].filter("kept").sort("rung").to_dicts()
    if not kept:
        return None
    last, rungs = kept[-1], tables["ladder"].height
    size = "1 component" if last["nodes"] == 1 else f"{last['nodes']} components"
    return Sentence(
        f"{len(kept)} of {rungs} rungs hold. The last of them (\u201c{last['name']}\u201d) answers {last['right']} "
        f"prompts right with {size} and {last['edges']} edges (the model: {last['model_right']}).",
        "figure-ladder",
    )
