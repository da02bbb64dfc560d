"""V7, pins: what becomes of the answer when heads look at one stream alone."""

import numpy as np
import polars as pl
from torch import Tensor

from vitro.engine import Finals, Variant, pin
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS, copying_heads, subject_heads
from vitro.experiments.key_heads import key_heads, named, strongest_heads
from vitro.experiments.labels import positions
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import DEFAULT_OPTIONS, Head, Options, Setup, Tables
from vitro.experiments.statistics import leader
from vitro.figures import pins
from vitro.models import Model
from vitro.tasks import Task


def groups(setup: Setup) -> list[tuple[Head, ...]]:
    """Which heads are pinned: each key head alone, and two of them together.

    These two are the first two of the options' heads; by rule, the first key head and the one whose mean ablation costs
    the answer most, or, where it is the same, the one that copies most; where none copies, the one whose lens gives the
    subject most. On GPT-2 with days: 9.1 and 10.3.
    """
    heads = key_heads(setup)
    if setup.options.heads is not None:
        partners = heads[1:]
    else:
        needed = strongest_heads(setup.tables(HEAD_ABLATION)["head_ablation"], "mean")[0]
        lens = setup.tables(HEAD_LENS)["head_lens"]
        copying = (copying_heads(lens) or subject_heads(lens))[0]
        partners = tuple(head for head in (needed, copying) if head != heads[0])
    return [*((head,) for head in heads), *((heads[0], partner) for partner in partners[:1])]


def run(setup: Setup) -> Tables:
    """Table `attention_pin`: prompt, heads ("a9.h1+a10.h3"), position (null: clean), answer_prob."""
    answers, _, _ = setup.token_ids
    n_prompts, n_positions = setup.prompts.tokens.shape

    def read(finals: Finals) -> dict[str, Tensor]:
        return {"answer_prob": finals.prob(answers[finals.prompts])}

    keys: list[tuple[str, int | None]] = []
    variants: list[Variant] = []
    for heads in groups(setup):
        for position in (None, *range(n_positions)):
            keys.append((named(heads), position))
            variants.append(() if position is None else tuple(pin(layer, head, position) for layer, head in heads))
    found = setup.sweep(variants, read, "heads pinned")
    return {
        "attention_pin": pl.DataFrame(
            {
                "prompt": np.tile(np.arange(n_prompts), len(keys)),
                "heads": [heads for heads, _ in keys for _ in range(n_prompts)],
                "position": pl.Series([position for _, position in keys for _ in range(n_prompts)], dtype=pl.Int64),
                "answer_prob": found["answer_prob"].flatten().numpy(),
            }
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """For every pinned group: the mean answer probability, clean and at each position."""
    labels = positions(tables)
    mean = (
        tables["attention_pin"]
        .with_columns(pl.col("position").cast(pl.String).fill_null("clean"))
        .group_by("heads", "position", maintain_order=True)
        .agg(pl.col("answer_prob").mean())
        .pivot("position", index="heads", values="answer_prob")
    )
    return mean.rename({str(position): f"{position} {label}" for position, label in enumerate(labels)})


def summary(tables: Tables) -> str:
    """Which position is best for the heads that are pinned together."""
    heads = tables["attention_pin"]["heads"][-1]
    mine = tables["attention_pin"].filter(heads=heads)
    clean = mine.filter(pl.col("position").is_null()).select("prompt", pl.col("answer_prob").alias("clean"))
    pinned = mine.drop_nulls("position").join(clean, on="prompt")
    best = leader(pinned, ("position",), pl.col("answer_prob"))
    if not best.stands_out:
        return f"Of the positions to which {heads} can be pinned, {best.doubt}."
    position = best.key[0]
    label = positions(tables)[position].strip(" {}")
    here, change = pinned.filter(position=position), pl.col("answer_prob") - pl.col("clean")
    verdicts = {"more than": change, "less than": -change}
    beside = [words for words, effect in verdicts.items() if leader(here, ("position",), effect).stands_out]
    return (
        f"Of all positions, {heads} pinned to {position} ({label}) gives the answer most: {best.mean:.3g} on average "
        f"over {best.n_prompts} prompts, {beside[0] if beside else 'no clear change from'} the "
        f"{clean['clean'].to_numpy().mean():.3g} unpinned."
    )


ATTENTION_PIN = Experiment(
    name="attention_pin",
    title="Attention pinned",
    reading="Each bar is the answer's mean probability when the named heads are made to look, from the final stream, "
    "at one position alone; the grey bar is the clean run.",
    python="vitro.pin_heads(model, task)",
    tables=("attention_pin",),
    run=run,
    figures=lambda tables: {"attention_pin": pins(tables["attention_pin"], positions(tables))},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def pin_heads(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Heads pinned to each stream in turn (method.md V7; the post, "Attention patterns")."""
    return ATTENTION_PIN.measure(model, task, options)
