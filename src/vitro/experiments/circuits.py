"""In vitro: the post's setups C1 to C9, a few components taken out of the model that have to do the job alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from vitro.circuits import CONSTANTS, MOST_BOXES, WORDS, Cast, Circuit, CircuitError, boxes_and_arrows, carried, setups
from vitro.circuits.nodes import Kind
from vitro.engine import Finals, pattern
from vitro.experiments.ablation import metric_columns
from vitro.experiments.answer_table import answer_rows, leading
from vitro.experiments.cast import cast
from vitro.experiments.clean import CLEAN
from vitro.experiments.effects import LEVELS, answered, levels
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.kept import setup_of
from vitro.experiments.layer_lens import LAYER_LENS
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, answer_tables, circuit_answers, circuit_attention, circuit_drawing
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, answers, at_places, counted, labels, places, said, the
from vitro.tasks import Task

SHOWN = ("C6", "C7", "C9")
"""The setups whose answer tables are drawn."""
CUT = 1000
"""Characters of a wiring in a table for people: a circuit within the model may have thousands of edges."""
READABLE = 0.01
"""The share of the model's own answer probability that the lens must reach at the layer where C1 and C2 read."""


def run(setup: Setup) -> Tables:
    """The tables of `tables_of` for the setups, whose parts are chosen by rule (see `cast`)."""
    return tables_of(setup, wired(setup))


def wired(setup: Setup, parts: Cast | None = None) -> Mapping[str, Circuit]:
    """The post's setups in a model, for a cast or by rule; C1 and C2 read where the model's own answer can be read.

    That is after the later of the two heads, as in the post. If the lens there gives the answer less than a hundredth
    of the model's own probability, no circuit could succeed there, and they read after the last layer instead.
    """
    parts = parts or cast(setup)
    after = setup.tables(LAYER_LENS)["layer_lens"].filter(stage="post")
    probs = after.group_by("layer").agg(pl.col("answer_prob").mean()).sort("layer")["answer_prob"]
    until = max(parts.successor[0], parts.copier[0])
    read_after = until if probs[until] >= probs[-1] * READABLE else setup.model.shape.n_layers - 1
    return setups(setup.model, parts, setup.options.output_bias, read_after)


def tables_of(setup: Setup, circuits: Mapping[str, Circuit]) -> Tables:
    """Tables of named circuits. All but `circuit_wiring` have a row for each circuit and prompt.

    circuits: every metric but kl, answer_rank (0 = top), wrong_prob, top_token, top_prob. circuit_answer_table: the
    logits of the closed list of answers, as in `answer_table`; no rows where there is none. circuit_attention: the
    weights from the final stream of the heads that each circuit in vitro names (`Circuit.components`); none of those
    within the model. circuit_wiring: the circuit's text, and how many heads a layer of the model has.
    """
    n_heads = setup.model.shape.n_heads
    heads_of = {
        name: [node for node in circuit.components(n_heads) if node.kind is Kind.head]
        for name, circuit in circuits.items()
        if circuit.absent is None
    }
    watch = sorted({node for heads in heads_of.values() for node in heads})
    answers_of, questions = answered(setup), setup.questions

    def read(finals: Finals) -> Mapping[str, Tensor]:
        watched = {str(node): finals.attention[pattern(node.layer, node.head)] for node in watch}
        return {**answers_of(finals), "answer_logits": finals.among(setup.asked.tokens[setup.asked.listed]), **watched}

    values = setup.run_circuits(list(circuits.values()), read, "circuits", watch=watch)
    n_prompts = len(questions)
    prompt = np.tile(np.arange(n_prompts), len(circuits))
    table = pl.DataFrame(
        {
            "circuit": np.repeat(np.array(list(circuits)), n_prompts),
            "prompt": prompt,
            **metric_columns(values, [name for name in LEVELS if name != "kl"], len(prompt)),
            "answer_rank": values["answer_rank"].flatten().numpy(),
            "wrong_prob": values["wrong_prob"].flatten().numpy(),
            "top_token": setup.token_text(values["top"].flatten().tolist()),
            "top_prob": values["top_prob"].flatten().numpy(),
        }
    )
    attention = [
        _attention(name, node.layer, node.head, values[str(node)][number], questions.lengths)
        for number, name in enumerate(circuits)
        for node in heads_of.get(name, ())
    ]
    rows = [
        answer_rows(questions.among_words, name, logits)
        for name, logits in zip(circuits, values["answer_logits"], strict=True)
    ]
    return {
        "circuits": table,
        "circuit_answer_table": pl.concat(rows).rename({"component": "circuit"}),
        "circuit_attention": pl.concat(attention) if attention else pl.DataFrame(schema=_ATTENTION),
        "circuit_wiring": pl.DataFrame(
            {"circuit": list(circuits), "text": list(map(str, circuits.values()))}
        ).with_columns(pl.lit(n_heads, dtype=pl.Int64).alias("n_heads")),
    }


_ATTENTION = {
    "circuit": pl.String,
    "prompt": pl.Int64,
    "layer": pl.Int64,
    "head": pl.Int64,
    "position": pl.Int64,
    "weight": pl.Float32,
}


def _attention(circuit: str, layer: int, head: int, weights: Tensor, lengths: Sequence[int]) -> pl.DataFrame:
    # A shorter prompt has no weights beyond its end.
    prompt, position = (np.arange(weights.shape[1]) < np.array(lengths)[:, None]).nonzero()
    where = {"prompt": prompt, "layer": np.full_like(prompt, layer), "head": np.full_like(prompt, head)}
    columns = {**where, "position": position, "weight": weights.numpy()[prompt, position]}
    return pl.DataFrame({"circuit": [circuit] * len(prompt), **columns}, schema=_ATTENTION)


def circuit_rows(setup: Setup, key: str, circuits: Mapping[Any, Circuit], what: str) -> pl.DataFrame:
    """A row per circuit and prompt: its name (or null) as `key`, and every metric."""
    n_prompts = len(setup.questions)
    values = setup.run_circuits(list(circuits.values()), levels(setup), what) if circuits else {}
    return pl.DataFrame(
        {
            key: pl.Series([name for name in circuits for _ in range(n_prompts)], dtype=pl.String),
            "prompt": np.tile(setup.prompt_numbers, len(circuits)),
            **metric_columns(values, LEVELS, n_prompts * len(circuits)),
        }
    )


def numbers(tables: Tables) -> pl.DataFrame:
    """For every circuit: what it is, its mean answer probability, and in how many prompts the answer comes first."""
    spoken = said(tables)
    by_circuit = (
        tables["circuits"]
        .group_by("circuit", maintain_order=True)
        .agg(
            pl.col("answer_prob").mean().alias("mean answer prob"),
            (pl.col("answer_rank") == 0).sum().alias("answer on top in"),
            (pl.col("right_first") == 1).sum().alias(f"answer above {the(spoken.wrong)} in"),
            pl.col("wrong_prob").mean().alias(f"mean prob of {the(spoken.wrong)}"),
        )
    )
    leads = (
        leading(tables["circuit_answer_table"], "circuit")
        .join(tables["clean"].select("prompt", pl.col("answer").alias("correct")), on="prompt")
        .group_by("circuit")
        .agg((pl.col("answer") == pl.col("correct")).sum().alias("answer leads the answers in"))
    )
    words = pl.col("circuit").replace_strict(WORDS, default="").alias("what it is")
    wiring = tables["circuit_wiring"].with_columns(in_one_line(pl.col("text")).alias("wiring"))
    return (
        by_circuit.join(leads, on="circuit", how="left", maintain_order="left")
        .fill_null(0)
        .join(wiring, on="circuit", maintain_order="left")
        .select("circuit", words, pl.exclude("circuit", "text", "n_heads", "wiring"), "wiring")
    )


def in_one_line(text: pl.Expr) -> pl.Expr:
    """A wiring in one line; it mentions that there are constants without listing them, and a long one is cut."""
    kinds = "|".join(CONSTANTS)
    line = text.str.replace_all(rf"(?m)^({kinds}): .*$", "${1}: …").str.replace_all("\n", "; ")
    return pl.when(line.str.len_chars() > CUT).then(line.str.slice(0, CUT) + " …").otherwise(line)


def summary(tables: Tables) -> str:
    """What the post's final circuit does on its own."""
    rows = tables["circuits"].filter(circuit="C7")
    right = (rows["answer_rank"] == 0).sum()
    wiring = tables["circuit_wiring"].filter(circuit="C7").select(in_one_line(pl.col("text"))).item()
    return (
        f"Taken out of the model, {wiring} answers {right} of {counted(len(rows))} right on its own, with a mean "
        f"answer probability of {rows.select(pl.col('answer_prob').mean()).item():.3g}."
    )


def _drawn(tables: Tables) -> pl.DataFrame:
    rows = tables["circuit_answer_table"].rename({"circuit": "component"})
    chosen = rows.filter(pl.col("component").is_in(SHOWN))
    return chosen if len(chosen) else rows


def _figures(tables: Tables) -> dict[str, Figure]:
    """What the circuits answer, where their heads look, their answer tables, and a drawing of each."""
    drawn: dict[str, Figure] = {"circuits": circuit_answers(tables["circuits"], tables["clean"], WORDS)}
    if len(tables["circuit_attention"]):
        drawn["circuit_attention"] = circuit_attention(at_places(tables, tables["circuit_attention"]), places(tables))
    if len(tables["circuit_answer_table"]):
        drawn["circuit_answer_table"] = answer_tables(_drawn(tables), subjects=labels(tables), answers=answers(tables))
    wiring = tables["circuit_wiring"].select("circuit", "text", "n_heads")
    for number, (name, text, n_heads) in enumerate(wiring.iter_rows(), start=1):
        circuit = Circuit.wire(text)
        if len(circuit.order) > MOST_BOXES:
            continue
        boxes, arrows = boxes_and_arrows(circuit, n_heads)
        # Users choose the names of circuits, and names of figures become file names.
        key = name if name in WORDS else str(number)
        drawn[f"circuit_drawing_{key}"] = circuit_drawing(
            boxes, arrows, f"The circuit {name}", WORDS.get(name) or carried(circuit)
        )
    return drawn


CIRCUITS = Experiment(
    name="circuits",
    title="In vitro: the few components alone",
    reading="Each row is one circuit: how probable the answer is when nothing but what is wired works. C1 to C9 are "
    "the post's setups, with this model's own heads and MLPs in their parts.",
    python="m.in_vitro()",
    tables=("circuits", "circuit_answer_table", "circuit_attention", "circuit_wiring"),
    run=run,
    figures=_figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS, CLEAN),
    asks=("subject",),
)


def within_or_not(experiment: Experiment, circuits: Collection[Circuit]) -> Experiment:
    """The experiment with a title that says whether these circuits were run in vitro, within the model, or both."""
    within = {circuit.absent is not None for circuit in circuits}
    words = {True: "Within the model", False: "In vitro"}
    if within <= {False}:
        return experiment
    title = " and ".join(words[each] for each in sorted(within)).replace("and W", "and w")
    reading = f"{experiment.reading} Within the model, each edge that is not in a circuit carries an ablated output."
    return replace(experiment, title=experiment.title.replace(words[False], title, 1), reading=reading)


def in_vitro(
    model: Model,
    task: Task | str,
    circuits: Mapping[str, Circuit] | Cast | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Measurement:
    """Circuits on their own (docs/method.md, section 7; the post, "In-Vitro Results"), or within the model (10.1).

    circuits: any, by name; or who plays which part in the post's setups (`POST` in GPT-2 small); None: chosen by rule.

    Table `circuits` has a row per circuit and prompt: every metric but kl, the answer's rank (0 is the top), and the
    most probable token. The other tables hold the circuits' answer tables, attention and wiring (see `tables_of`).

    Raises `CircuitError` where the model cannot run a circuit, and `OptionError` where the post's setups are asked for
    and the task's prompts do not differ in a subject alone.

    >>> successor = vitro.Circuit.wire("input -> a1.h1; a1.h1 -> logits")
    >>> vitro.in_vitro(model, task, {"successor": successor}).table["circuit", "prompt", "top_token"].row(0)
    ('successor', 0, ' Tuesday')
    """
    return in_vitro_in(setup_of(model, task, options), circuits)


def in_vitro_in(setup: Setup, circuits: Mapping[str, Circuit] | Cast | None) -> Measurement:
    """`in_vitro` in a setup."""
    if circuits is None:
        return CIRCUITS.of(setup)
    setup.check()
    if isinstance(circuits, Cast):
        CIRCUITS.check(setup)
        circuits = wired(setup, circuits)
    if not isinstance(circuits, Mapping) or not circuits or {*map(type, circuits.values())} != {Circuit}:
        raise CircuitError(
            "circuits are given by their names, one or more; what works: "
            "{'mine': vitro.Circuit.wire('input -> m0; m0 -> logits')}"
        )
    given = setup.with_tables({CIRCUITS.name: tables_of(setup, circuits)})
    return Measurement(within_or_not(CIRCUITS, circuits.values()), CIRCUITS.shown(given))
