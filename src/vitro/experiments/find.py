"""Finding the circuit that does a task, judging it, and taking it out of the model."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from vitro.circuits import CONSTANTS, MOST_BOXES, Circuit, Kind, boxes_and_arrows, from_text
from vitro.discovery import (
    Case,
    Finder,
    Found,
    Ladder,
    OutOfTimeError,
    Verdict,
    judged,
    ladder,
    not_measured,
    of_task,
)
from vitro.engine import direct_attribution
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, found_circuit, ladder_rungs, ladder_wirings, search_steps
from vitro.metrics import METRICS, Metric
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.progress import bar
from vitro.report import not_found
from vitro.tables import SCHEMAS, Tables, marks, outcome
from vitro.tables.quantities import QUANTITIES
from vitro.tasks import FINAL, Task, TaskError, named

SHARE = 1 / 3
"""Of the time that the rest of a study takes: the time for finding, where none is given."""
LEAST = 120.0
"""Seconds that finding has in a study in any case."""
REST = 6
"""How many times as long as the search for nodes all of it takes, at the least. With less time than that the verdict is
on the nodes, and the search for edges is left for later."""
FOR_EDGES = 0.6
"""Of the time: when the search for edges stops, so that some is left for the verdict and the ladder."""
FOR_VERDICT = 0.9
"""Of the time: when the verdict stops."""
SEARCHED = 2 / 3
"""Of the prompts, where there are no others to hold out."""
HELD = 64
"""The most prompts that are held out."""
LOOKS = 0.1
"""The least attention to a mark that is worth a word."""
OTHERS: Mapping[str, tuple[str, ...]] = {
    "days": ("months", "numbers:8"),
    "months": ("days", "numbers:8"),
    "numbers": ("days", "months"),
    "ioi": ("ioi-abc:32",),
    "ioi-abc": ("ioi:32",),
}
"""Tasks that a circuit is tried on too, by the first word of its own task's name."""


def run(setup: Setup) -> Tables:
    """Tables `find`, `find_nodes`, `find_edges`, `search`, `verdict`, `ladder` and `ladder_answers`.

    Whatever is measured on the way is kept as it comes (`Setup.part`), so that a stopped search goes on where it was.
    """
    start, limit = time.monotonic(), _limit(setup)
    searched, held = split(setup)
    case, tau = case_of(searched), setup.options.faithful
    in_time, measuring = True, 0.0

    def keep(name: str, make: Callable[[], Tables]) -> Tables:
        nonlocal in_time

        def measured() -> Tables:
            nonlocal measuring
            before = time.monotonic()
            tables = make()
            measuring += time.monotonic() - before
            return tables

        try:
            return setup.part(f"find/{name}", measured)
        except OutOfTimeError:
            in_time = False
            raise

    def prepare(other: Setup) -> Case:
        nonlocal in_time
        if time.monotonic() >= finder.until:
            in_time = False
            raise OutOfTimeError
        return case_of(other)

    what = "finding the circuit"
    with bar(what) as progress:

        def watch(left: int, f: float, done: float, expected: float) -> None:
            progress(done, expected, f"{what}: {left} left, faithfulness {f:.2f}")

        finder = Finder(case, tau, keep, start + limit, watch)
        asked = of_task(finder)
        found, verdict = None, Verdict((asked,))
        # Of what the model does not do there is no circuit.
        if asked.holds:
            try:
                found = finder.find("node")
                if setup.options.level == "edge" and found.minimal:
                    # What an earlier run has measured took no time.
                    if REST * measuring <= limit:
                        finder.stop_at(start + FOR_EDGES * limit)
                        found = finder.edges(found)
                    else:
                        in_time = False
                finder.stop_at(start + FOR_VERDICT * limit)
                what = "judging the circuit: searching again"
                others = {task.name: partial(prepare, other) for task, other in _others(setup)}
                verdict = judged(finder, found, [partial(prepare, other) for other in held], others, setup.options.seed)
            except OutOfTimeError:
                verdict = Verdict((asked, not_measured("minimal", tau, "the time was up before the first round ended")))
    if found is None:
        return _tables(searched, finder, verdict, in_time)
    with bar("the ladder to glass"):
        rungs = ladder(
            case,
            Circuit.of(case.graph, found.mask, searched.edge_ablation),
            {kind: searched.constants(kind) for kind in CONSTANTS if not searched.lacks(kind)},
            value_bias=setup.options.value_bias,
            stop=lambda: time.monotonic() >= start + limit,
        )
    return _tables(searched, finder, verdict, in_time and rungs.finished, found, rungs)


def _limit(setup: Setup) -> float:
    """Seconds for all of it."""
    if setup.options.budget is not None:
        return setup.options.budget
    others = [seconds for name, seconds in setup.seconds.items() if name not in (PROMPTS.name, FIND.name)]
    return max(LEAST, SHARE * sum(others)) if others else math.inf


def split(setup: Setup) -> tuple[Setup, list[Setup]]:
    """The prompts that are searched on, and those that are held out (docs/method.md, section 12.1).

    A list of words is searched on in its own sentence, and its paraphrases are held out, those that fit the tokenizer
    and the ablation. Of other tasks the swept prompts are searched, or two thirds of them where these are all, evenly
    of all kinds; up to HELD of the others are held out.
    """
    swept, questions = setup.swept, setup.questions
    if paraphrases := [other for _, other in _fitting(setup, setup.task.paraphrased)]:
        return swept, paraphrases
    rows = swept.rows or questions.spread(math.ceil(SEARCHED * len(questions)))
    rest = sorted(set(range(len(questions))) - set(rows))
    held = [rest[row] for row in questions.take(rest).spread(HELD)] if rest else []
    others = [replace(setup, rows=tuple(held), whole=setup)] if held else []
    return replace(setup, rows=tuple(rows), whole=setup), others


def _fitting(setup: Setup, tasks: Sequence[Task]) -> Iterator[tuple[Task, Setup]]:
    """Tasks that fit this tokenizer, the metric and the ablation, each with the prompts that are swept."""
    for task in tasks:
        other = Setup(setup.model, task, replace(setup.options, ablations=None, heads=None, steer_token=None))
        try:
            fits = find_metric(setup).fits(other.questions) and not other.lacks(setup.edge_ablation)
        except TaskError:
            # A word that is one token in one sentence may be two in another.
            continue
        if fits:
            yield task, other.swept


def _others(setup: Setup) -> Iterator[tuple[Task, Setup]]:
    """Other tasks, on which the circuit is tried."""
    kin = OTHERS.get(setup.task.name.partition("-")[0], OTHERS.get(setup.task.name, ()))
    return _fitting(setup, [named(name, seed=setup.options.seed) for name in kin])


def find_metric(setup: Setup) -> Metric:
    """The metric that faithfulness is of: the requested one, else the first of margin and logit_diff that fits."""
    if setup.options.metric is not None:
        return setup.metric
    return next(
        (METRICS[name] for name in ("margin", "logit_diff") if METRICS[name].fits(setup.questions)), setup.metric
    )


def case_of(setup: Setup, of: Setup | None = None) -> Case:
    """What circuits are judged by. of: the setup whose metric and ablation it has; None: its own."""
    whose, options = of or setup, setup.options
    constants = setup.constants(whose.edge_ablation)
    return Case(setup.model, setup.questions, find_metric(whose), constants, seed=options.seed, memory=options.memory)


def _tables(
    searched: Setup,
    finder: Finder,
    verdict: Verdict,
    finished: bool,
    found: Found | None = None,
    rungs: Ladder | None = None,
) -> Tables:
    case, ends, graph = finder.case, finder.ends, finder.case.graph
    mask = graph.mask([]) if found is None else found.mask
    row = {
        "found": verdict.found,
        "why": verdict.why,
        "metric": case.metric.name,
        "method": searched.edge_ablation,
        "tau": finder.tau,
        "level": searched.options.level if found is None else found.level,
        "circuit": str(Circuit.of(graph, mask, searched.edge_ablation)),
        "nodes": 0 if found is None else len(found.nodes),
        "edges": int(mask.sum()),
        "minimal": found is not None and found.minimal,
        "searched": len(ends.right),
        "faithfulness": 0.0 if found is None else found.f,
        "right_model": int(ends.right.sum()),
        "right_circuit": 0 if found is None else found.right,
        "measured": 0 if found is None else found.measured,
        "finished": finished,
    }
    climbed = {} if rungs is None else rungs.tables(searched.model.shape.n_heads, searched.prompt_numbers.tolist())
    tables = {
        "find": pl.DataFrame([row]),
        "find_nodes": pl.DataFrame() if found is None else _nodes(searched, found),
        "find_edges": pl.DataFrame() if found is None else _edges(found),
        "search": pl.DataFrame() if found is None else _steps(found),
        "verdict": pl.DataFrame(verdict.rows, infer_schema_length=None),
        "ladder": climbed.get("ladder", pl.DataFrame()),
        "ladder_answers": climbed.get("ladder_answers", pl.DataFrame()),
    }
    return {name: SCHEMAS[name].cast(table) for name, table in tables.items()}


def _nodes(setup: Setup, found: Found) -> pl.DataFrame:
    """What each node costs, what it writes itself, and where it looks."""
    questions = setup.questions
    shares = direct_attribution(
        setup.model, questions.tokens, questions.right, questions.wrong,
        value_bias=setup.options.value_bias, memory=setup.options.memory,
    )  # fmt: skip
    total = float(shares.values.sum(0).mean())
    weights = setup.streams.attention.cpu().double()
    prompts = np.arange(len(questions))
    rows: list[dict[str, Any]] = []
    for node, cost in zip(found.nodes, found.node_costs, strict=True):
        looks: dict[str, float] = {}
        if node.kind is Kind.head:
            looks = {
                mark: float(weights[prompts, node.layer, node.head, np.array(at)].mean())
                for mark, at in questions.marks.items()
                if mark != FINAL
            }
        mark = max(looks, key=lambda name: looks[name]) if looks else None
        seen = mark if mark is not None and looks[mark] >= LOOKS else None
        rows.append(
            {
                "node": str(node),
                "layer": node.layer,
                "head": node.head if node.kind is Kind.head else None,
                "cost": cost,
                "direct": float(shares[str(node)].mean()) / total if total and all(questions.wrong) else None,
                "attends_to": seen,
                "attention": None if seen is None else looks[seen],
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _edges(found: Found) -> pl.DataFrame:
    edges = [found.case.graph.edges[number] for number in np.flatnonzero(found.mask)]
    return pl.DataFrame(
        {
            "source": [str(edge.source) for edge in edges],
            "reader": [str(edge.reader) for edge in edges],
            "input": pl.Series([edge.input for edge in edges], dtype=pl.String),
            "cost": pl.Series(found.edge_costs, dtype=pl.Float64).fill_nan(None),
        }
    )


def _steps(found: Found) -> pl.DataFrame:
    rows = [
        {
            "step": number,
            "level": named_step.level,
            "action": named_step.step.action,
            "component": name,
            "cost": None if math.isnan(cost) else cost,
            "left": named_step.step.left,
            "faithfulness": named_step.step.f,
            "right": named_step.step.right,
            "measured": named_step.step.tried,
        }
        for number, named_step in enumerate(found.steps)
        for name, cost in zip(named_step.names, named_step.step.costs, strict=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def figures(tables: Tables) -> dict[str, Figure]:
    """The circuit, the search, and the ladder with what it comes down to; none where nothing was searched."""
    drawn: dict[str, Figure] = {}
    if tables["find_nodes"].height:
        drawn["found_circuit"] = found_circuit(tables["find"], tables["find_nodes"], tables["find_edges"])
    if tables["search"].height:
        drawn["search_steps"] = search_steps(tables["find"], tables["search"])
    if tables["ladder"].height:
        drawn["ladder"] = ladder_rungs(tables["ladder"], tables["ladder_answers"], tables["questions"])
        parts = []
        for rung, text, n_nodes in tables["ladder"].filter("kept").select("rung", "circuit", "nodes").iter_rows():
            if n_nodes < MOST_BOXES - 2:
                boxes, arrows = boxes_and_arrows(from_text(text))
                parts.append([part.with_columns(pl.lit(rung).alias("rung")) for part in (boxes, arrows)])
        if parts:
            wirings = ladder_wirings(tables["ladder"], *(pl.concat(column) for column in zip(*parts, strict=True)))
            drawn |= {} if wirings is None else {"ladder_wirings": wirings}
    return drawn


def numbers(tables: Tables) -> pl.DataFrame:
    """The verdict, a row a condition."""
    verdict = tables["verdict"]
    marked = verdict.with_columns(pl.Series("verdict", marks(verdict), pl.String))
    return marked.select("condition", "verdict", "value", "low", "high", "wanted", "reading")


def summary(tables: Tables) -> str:
    """What was found, in a sentence."""
    search = tables["find"].row(0, named=True)
    if outcome(tables) != "found":
        return not_found(tables)
    size = "1 component keeps" if search["nodes"] == 1 else f"{search['nodes']} components keep"
    kept = f"{search['faithfulness']:.2f} of the {QUANTITIES[search['metric']].short}"
    return f"{size} {kept}, by {search['edges']} edges, and none of them can go."


FIND = Experiment(
    name="find",
    title="The circuit that does it",
    reading="The smallest circuit within the model that keeps what was asked for, by exact measurement of every "
    "removal; what speaks for it and against it; and how far it works out of the model.",
    python="m.find()",
    tables=("find", "find_nodes", "find_edges", "search", "verdict", "ladder", "ladder_answers"),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    finished=lambda tables: bool(tables["find"]["finished"].item()),
)


def find(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The smallest circuit that does a task, and how sure that is (docs/method.md, section 12).

    Table `find` has the circuit and whether it was found; `verdict` the conditions; `search` every step; `ladder` how
    far it can be taken out of the model. Options: `faithful`, `level`, `budget`, `metric`, `edge_ablation`.

    Raises `OptionError` where an option does not fit the task or the model, `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.find(model, task).tables["find_nodes"]["node"].to_list()
    ['a1.h1']
    """
    return FIND.measure(model, task, options)
