"""How good a circuit is: faithful, complete, minimal, better than chance."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from textwrap import shorten

import numpy as np
import polars as pl

from vitro.circuits import LOGITS, Circuit, CircuitError, Edge, Node, recast, stream
from vitro.experiments.ablation import metric_columns
from vitro.experiments.circuits import circuit_rows, in_one_line, wired, within_or_not
from vitro.experiments.effects import LEVELS, beside_model
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.kept import setup_of
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, completeness_figure, minimality_figure, random_circuits_figure
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import RARE, Tables, chance, counted, interval
from vitro.tasks import Task, TaskError

RANDOM = 200
"""The number of random circuits."""
PARTS = 20
"""The most parts of a circuit that are knocked out; all of them where there are fewer."""
_LINE = 150
"""Characters of a wiring that a figure's subtitle has room for."""


def run(setup: Setup) -> Tables:
    """The tables of `quality_of` for the post's final circuit (C7), its parts filled by rule."""
    return quality_of(setup, wired(setup)["C7"])


def quality_of(setup: Setup, circuit: Circuit) -> Tables:
    """Table `judged_circuit`, the circuit's text, and the tables that judge it, per prompt.

    These are `faithfulness`, `minimality`, `completeness` and `random_circuits`.
    """
    return {
        "judged_circuit": pl.DataFrame({"text": [str(circuit)]}),
        "faithfulness": faithfulness(setup, circuit),
        "minimality": minimality(setup, circuit),
        "completeness": completeness(setup, circuit),
        "random_circuits": random_circuits(setup, circuit),
    }


def faithfulness(setup: Setup, circuit: Circuit) -> pl.DataFrame:
    """The circuit beside the model, on the task and on each of its paraphrases that fits this tokenizer.

    In a paraphrase the subject has another position, and heads pinned to the subject follow it. A circuit with a head
    pinned to any other position is run on the task's own template only: in a paraphrase that position has no meaning.

    Columns: template (of the task, its name where it has several), prompt, every metric of the circuit and, as
    model_..., of the model, and kl: KL(model || circuit) over the vocabulary, in nats.
    """
    frames = []
    following = _following(circuit, setup)
    for task in (setup.task, *(setup.task.paraphrased if following else ())):
        asked = setup if task is setup.task else Setup(setup.model, task, setup.options)
        try:
            _ = asked.questions
        except TaskError:
            # A word that is one token after the template may be two after a paraphrase.
            continue
        if task is not setup.task and any(map(asked.lacks, circuit.constant_kinds)):
            continue
        values = {
            name: value[0]
            for name, value in asked.run_circuits([following or circuit], beside_model(asked), "faithfulness").items()
        }
        n_prompts = len(asked.questions)
        columns = metric_columns(values, [*LEVELS, *(f"model_{name}" for name in LEVELS if name != "kl")], n_prompts)
        template = task.facts().get("Template", task.name)
        frames.append(pl.DataFrame({"template": [template] * n_prompts, "prompt": range(n_prompts), **columns}))
    return pl.concat(frames)


def minimality(setup: Setup, circuit: Circuit) -> pl.DataFrame:
    """The circuit with each of its components left out in turn; `left_out` is null for the whole circuit.

    Columns: left_out, prompt, and every metric. A component without which nothing is left has no rows.
    """
    smaller: dict[str | None, Circuit] = {None: circuit}
    for node in circuit.components(setup.model.shape.n_heads):
        if (rest := _without(circuit, (node,))) is not None:
            smaller[str(node)] = rest
    return circuit_rows(setup, "left_out", smaller, "minimality")


def completeness(setup: Setup, circuit: Circuit) -> pl.DataFrame:
    """Parts of the circuit knocked out of the model (ablated) and of the circuit: both should fall alike.

    Parts are made of the heads and MLPs that it names (`Circuit.components`); where it names none the table is empty.
    Columns: knocked_out ("a9.h1+m9"), size, whole (whether it is all of the circuit), prompt, every metric but kl of
    the circuit (null where nothing is left of it), and of the model as model_...
    """
    nodes = circuit.components(setup.model.shape.n_heads)
    parts = _parts_of(nodes, setup.options.seed)
    called = {part: "+".join(map(str, part)) for part in parts}
    names = [name for name in LEVELS if name != "kl"]
    of_model = circuit_rows(
        setup, "knocked_out", {called[part]: _knocked_out(setup, circuit, part) for part in parts}, "completeness"
    ).select("knocked_out", "prompt", pl.col(names).name.prefix("model_"))
    smaller = {called[part]: rest for part in parts if (rest := _without(circuit, part)) is not None}
    of_circuit = circuit_rows(setup, "knocked_out", smaller, "completeness").drop("kl")
    table = of_model.join(of_circuit, on=["knocked_out", "prompt"], how="left", maintain_order="left")
    sizes = pl.DataFrame(
        [(called[part], len(part), len(part) == len(nodes)) for part in parts],
        schema={"knocked_out": pl.String, "size": pl.Int64, "whole": pl.Boolean},
        orient="row",
    )
    values = [*names, *(f"model_{name}" for name in names)]
    table = table.join(sizes, on="knocked_out", maintain_order="left")
    return table.select("knocked_out", "size", "whole", "prompt", *values)


def random_circuits(setup: Setup, circuit: Circuit) -> pl.DataFrame:
    """Circuits of the same size and kind with other components, drawn at random; number 0 is the circuit itself.

    The wiring stays; heads are replaced by heads and MLPs by MLPs, within the model by heads of the same layer alone
    (`recast`). Columns: number, prompt, and every metric.
    """
    random = np.random.default_rng(setup.options.seed)
    drawn = [recast(setup.model, circuit, random) for _ in range(RANDOM)]
    by_number = {str(number): candidate for number, candidate in enumerate([circuit, *drawn])}
    return circuit_rows(setup, "number", by_number, "random circuits").with_columns(pl.col("number").cast(pl.Int64))


def _following(circuit: Circuit, setup: Setup) -> Circuit | None:
    """The circuit with its pins on the subject, wherever that is; None where a head is pinned elsewhere."""
    subject = setup.questions.marks["subject"][0] if setup.varying else "subject"
    if {pin for _, pin in circuit.pins} - {subject, "subject"}:
        return None
    return replace(circuit, pins=frozenset((node, "subject") for node, _ in circuit.pins))


def _without(circuit: Circuit, part: Sequence[Node]) -> Circuit | None:
    try:
        return circuit.without(*part)
    except CircuitError:
        return None


def _knocked_out(setup: Setup, circuit: Circuit, part: Sequence[Node]) -> Circuit:
    """The model with a part of it ablated: as the circuit's absent edges are, if it is within the model."""
    last, kind = setup.model.shape.n_layers - 1, circuit.absent or setup.ablation
    return Circuit(frozenset({Edge(stream(last), LOGITS)}), constants=frozenset((node, kind) for node in part))


def _parts_of(nodes: Sequence[Node], seed: int) -> list[tuple[Node, ...]]:
    """All parts but the empty one; where there are many, all nodes together and a sample of the other parts."""
    if 2 ** len(nodes) - 1 <= PARTS:
        return [part for size in range(1, len(nodes) + 1) for part in combinations(nodes, size)]
    random = np.random.default_rng(seed)
    parts = {tuple(nodes)}
    while len(parts) < PARTS:
        part = tuple(node for node in nodes if random.random() < 0.5)
        if part:
            parts.add(part)
    return sorted(parts, key=lambda part: (len(part), part))


def numbers(tables: Tables) -> pl.DataFrame:
    """Each question about the circuit, its value, and what that is compared with: no wider than a terminal."""
    return pl.DataFrame(
        [*_faithful(tables), *_complete(tables), *_minimal(tables), *_chance(tables)],
        schema=["question", "circuit", "compared with"],
        orient="row",
    )


WORDS = {
    "among_answers": "among the answers",
    "answer_prob": "among all tokens",
    "logit_diff": "logit difference",
}
"""The metrics that a judgement may quote, in a few words, the main one first; a task may lack some."""
Judgement = tuple[str, str, str]


def _quoted(tables: Tables) -> list[str]:
    """The metrics that the judgement quotes, the main one first."""
    return [name for name in WORDS if tables["random_circuits"][name].null_count() == 0]


def _faithful(tables: Tables) -> list[Judgement]:
    by_template = tables["faithfulness"].partition_by("template", maintain_order=True)
    judgements = []
    for metric in _quoted(tables):
        circuit, model = (_with_interval(by_template, name) for name in (metric, f"model_{metric}"))
        judgements.append((f"faithful: {WORDS[metric]}", circuit, f"model {model}"))
    return [*judgements, ("faithful: KL, in nats", _with_interval(by_template, "kl"), "model 0")]


def _complete(tables: Tables) -> list[Judgement]:
    table = tables["completeness"]
    if table.is_empty():
        return []
    metric = _quoted(tables)[0]
    rest = _mean(table.filter("whole"), f"model_{metric}")
    judgements = [("complete: model without it", f"{rest:.4g}", f"model {_of_model(tables, metric):.4g}")]
    by_part = table.drop_nulls(metric).group_by("knocked_out")
    gap = pl.col(metric).mean() - pl.col(f"model_{metric}").mean()
    gaps = by_part.agg(gap.abs().alias("gap"))["gap"]
    if len(gaps):
        judgements.append(("complete: largest gap", f"{gaps.to_numpy().max():.4g}", "no gap: 0"))
    return judgements


def _minimal(tables: Tables) -> list[Judgement]:
    metric = _quoted(tables)[0]
    means = tables["minimality"].group_by("left_out").agg(pl.col(metric).mean())
    circuit = _mean(means.filter(pl.col("left_out").is_null()), metric)
    least = means.drop_nulls("left_out").sort(metric, "left_out", descending=[True, False]).head(1)
    return [
        (f"minimal: can spare {name}", f"{value - circuit:+.4g} without it", f"circuit {circuit:.4g}")
        for name, value in least.iter_rows()
    ]


def _chance(tables: Tables) -> list[Judgement]:
    table = tables["random_circuits"]
    judgements = []
    for metric in _quoted(tables):
        p, rank = chance(table, metric)
        judgements.append((f"chance: {WORDS[metric]}", f"rank {rank} of {table['number'].n_unique()}", f"p = {p:.3g}"))
    return judgements


def _of_model(tables: Tables, metric: str) -> float:
    """The mean of a metric of the model, on the task's own prompts, which come before those of the paraphrases."""
    n_prompts = tables["random_circuits"]["prompt"].n_unique()
    return _mean(tables["faithfulness"].head(n_prompts), f"model_{metric}")


def _mean(table: pl.DataFrame, column: str) -> float:
    return float(table[column].to_numpy().mean())


def _with_interval(by_template: Sequence[pl.DataFrame], column: str) -> str:
    mean, low, high = interval([part[column].to_numpy() for part in by_template], np.random.default_rng(0))
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def summary(tables: Tables) -> str:
    """The circuit's main metric, beside the model's and beside chance."""
    (_, circuit, model), *_ = _faithful(tables)
    templates = tables["faithfulness"]["template"].n_unique()
    n_random = tables["random_circuits"]["number"].n_unique() - 1
    metric = _quoted(tables)[0]
    p, rank = chance(tables["random_circuits"], metric)
    verdict = "" if p <= RARE else ", not clearly better than chance"
    gives = "gives the answer {} of what all answers get" if metric == "among_answers" else "comes to {}"
    return (
        f"Asked in {counted(templates, 'way')}, that circuit {gives.format(circuit)} (mean, 95 % "
        f"interval), the {model}; among {n_random} random circuits of its kind it has rank {rank} (p = {p:.3g})"
        f"{verdict}."
    )


def _figures(tables: Tables) -> dict[str, Figure]:
    """The circuit among random ones and, where it has components to leave out, what these are worth."""
    wiring = shorten(tables["judged_circuit"].select(in_one_line(pl.col("text"))).item(), _LINE, placeholder=" …")
    metric, made = _quoted(tables)[0], "their heads and MLPs drawn at random"
    if wiring.startswith("absent: "):
        made = "their heads drawn at random from the same layers"
    drawn: dict[str, Figure] = {
        "random_circuits": random_circuits_figure(
            tables["random_circuits"], wiring, made, _of_model(tables, metric), metric
        )
    }
    if len(tables["completeness"]):
        drawn["minimality"] = minimality_figure(tables["minimality"], metric)
        drawn["completeness"] = completeness_figure(tables["completeness"], metric)
    return drawn


JUDGED_CIRCUIT = Experiment(
    name="judged_circuit",
    title="In vitro: how good the circuit is",
    reading="One circuit against random circuits of its kind, then with each component left out, then beside the model "
    "when parts of it are knocked out of both. The numbers are means, in brackets their 95 % bootstrap intervals over "
    "prompts and paraphrases; p is the share of circuits that do as well, the circuit itself among them.",
    python="m.judge()",
    tables=("judged_circuit", "faithfulness", "minimality", "completeness", "random_circuits"),
    run=run,
    figures=_figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    asks=("subject",),
)


def judge(
    model: Model, task: Task | str, circuit: Circuit | None = None, options: Options = DEFAULT_OPTIONS
) -> Measurement:
    """How good a circuit is (docs/method.md, section 8).

    circuit: None: the post's final circuit (C7), its parts filled by rule.

    Tables: `faithfulness` (circuit and model, over prompts and paraphrases), `minimality` (each component left out in
    turn), `completeness` (parts knocked out of circuit and model) and `random_circuits` (others of its size and kind),
    each with every metric per prompt.

    Raises `CircuitError` where the model cannot run the circuit, and `OptionError` where none is given and the task's
    prompts do not differ in a subject alone.

    >>> judged = vitro.judge(model, task, vitro.Circuit.wire("input -> a1.h1; a1.h1 -> logits"))
    >>> judged.numbers["question"][0], sorted(judged.tables)[:3]
    ('faithful: among the answers', ['completeness', 'faithfulness', 'judged_circuit'])
    """
    return judged_in(setup_of(model, task, options), circuit)


def judged_in(setup: Setup, circuit: Circuit | None) -> Measurement:
    """`judge` in a setup."""
    if circuit is None:
        return JUDGED_CIRCUIT.of(setup)
    if not isinstance(circuit, Circuit):
        raise CircuitError(f"a {type(circuit).__name__} is no circuit; what works: vitro.Circuit.wire('input -> m0')")
    setup.check()
    given = setup.with_tables({JUDGED_CIRCUIT.name: quality_of(setup, circuit)})
    return Measurement(within_or_not(JUDGED_CIRCUIT, [circuit]), JUDGED_CIRCUIT.shown(given))
