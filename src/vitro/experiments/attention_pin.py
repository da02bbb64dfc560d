"""V7, pins: how the answer changes when heads attend to a single stream."""

import numpy as np
import polars as pl

from vitro.engine import Variant, pin
from vitro.experiments.ablation import metric_columns
from vitro.experiments.effects import LEVELS, levels
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.key_heads import key_heads, named, ranking
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import pins
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, copying_heads, counted, leader, numbered, places, said, subject_heads, varies
from vitro.tasks import Task


def groups(setup: Setup) -> list[tuple[Head, ...]]:
    """Which heads are pinned: each key head alone, and two of them together.

    The pair is the first two of the options' heads. By rule, it is the first key head and the head whose ablation costs
    most; if that is the same head, the head that copies most; if none copies, the head whose lens gives the subject the
    highest probability. On GPT-2 with days: 9.1 and 10.3.
    """
    heads = key_heads(setup)
    if setup.options.heads is not None:
        partners = heads[1:]
    else:
        lens = setup.tables(HEAD_LENS)["head_lens"]
        copying = (copying_heads(lens) if setup.varying else []) or subject_heads(lens)
        partners = tuple(head for head in (ranking(setup)[0], copying[0]) if head != heads[0])
    return [*((head,) for head in heads), *((heads[0], partner) for partner in partners[:1])]


def pinned_places(setup: Setup) -> list[tuple[str | None, tuple[int, ...]]]:
    """Where heads are pinned: a position in each prompt, and the mark that names it.

    Every position where prompts differ in their subject alone, so that positions correspond; elsewhere every mark.
    """
    questions = setup.questions
    marked = questions.marked
    if setup.varying:
        everywhere = [(at,) * len(questions) for at in range(questions.lengths[0])]
        return [(marked.get(positions), positions) for positions in everywhere]
    return [(mark, positions) for positions, mark in marked.items()]


def run(setup: Setup) -> Tables:
    """Table `attention_pin`: prompt, heads ("a9.h1+a10.h3"), position and mark (null: clean), and every metric."""
    read = levels(setup)
    keys: list[tuple[str, str | None, tuple[int | None, ...]]] = []
    variants: list[Variant] = []
    n_prompts = len(setup.questions)
    for heads in groups(setup):
        keys.append((named(heads), None, (None,) * n_prompts))
        variants.append(())
        for mark, positions in pinned_places(setup):
            keys.append((named(heads), mark, positions))
            variants.append(tuple(pin(layer, head, positions) for layer, head in heads))
    values = setup.sweep(variants, read, "heads pinned")
    return {
        "attention_pin": pl.DataFrame(
            {
                "prompt": np.tile(np.arange(n_prompts), len(keys)),
                "heads": [heads for heads, _, _ in keys for _ in range(n_prompts)],
                "position": pl.Series([at for _, _, positions in keys for at in positions], dtype=pl.Int64),
                "mark": pl.Series([mark for _, mark, _ in keys for _ in range(n_prompts)], dtype=pl.String),
                **metric_columns(values, LEVELS, n_prompts * len(keys)),
            }
        )
    }


def _at_places(tables: Tables) -> pl.DataFrame:
    """The table with `place`, the number of a label in `_labels`; null for the clean run."""
    table = tables["attention_pin"]
    if varies(tables):
        return table.with_columns(pl.col("position").alias("place"))
    numbers = {name: number for number, name in enumerate(_labels(tables))}
    return table.with_columns(pl.col("mark").replace_strict(numbers, return_dtype=pl.Int64).alias("place"))


def _labels(tables: Tables) -> list[str]:
    """The labels of the places where heads were pinned."""
    if varies(tables):
        return places(tables)
    # Not `places`: a position has one name there, also where two marks stand at it in some of the prompts.
    marks = tables["attention_pin"].drop_nulls("mark").group_by("mark").agg(pl.col("position").mean())
    return marks.sort("position", "mark")["mark"].to_list()


def numbers(tables: Tables) -> pl.DataFrame:
    """For every pinned group: the mean metric, clean and at each place."""
    mean = (
        _at_places(tables)
        .with_columns(pl.col("place").cast(pl.String).fill_null("clean"))
        .group_by("heads", "place", maintain_order=True)
        .agg(pl.col(said(tables).metric).mean())
        .pivot("place", index="heads", values=said(tables).metric)
    )
    return mean.rename(
        {str(place): label for place, label in enumerate(numbered(tables, _labels(tables)))}, strict=False
    )


def summary(tables: Tables) -> str:
    """Which place is best for the heads that are pinned together."""
    spoken, table = said(tables), _at_places(tables)
    heads = table["heads"][-1]
    rows = table.filter(heads=heads).select("prompt", "place", pl.col(spoken.metric).alias("value"))
    clean = rows.filter(pl.col("place").is_null()).select("prompt", pl.col("value").alias("clean"))
    pinned = rows.drop_nulls("place").join(clean, on="prompt")
    # A metric that may be negative is compared from its lowest value upward.
    lowest = 0.0 if spoken.unit == "probability" else pinned["value"].min()
    best = leader(pinned, ("place",), pl.col("value") - lowest)
    if not best.stands_out:
        return f"Of the places to which {heads} can be pinned, {best.doubt}."
    place = best.key[0]
    label = _labels(tables)[place].strip(" {}")
    here, change = pinned.filter(place=place), pl.col("value") - pl.col("clean")
    verdicts = {"more than": change, "less than": -change}
    beside = [words for words, effect in verdicts.items() if leader(here, ("place",), effect).stands_out]
    where = f"{place} ({label})" if varies(tables) else label
    return (
        f"Of all places to which {heads} can be pinned, the {spoken.quantity.short} is highest at {where}: "
        f"{here['value'].to_numpy().mean():.3g} on average over {counted(best.n_prompts)}, "
        f"{beside[0] if beside else 'no clear change from'} the {clean['clean'].to_numpy().mean():.3g} unpinned "
        f"({here.select(change.mean()).item():+.2g})."
    )


ATTENTION_PIN = Experiment(
    name="attention_pin",
    title="Attention pinned",
    reading="Each bar is the mean of the metric when the named heads are made to look, from the final stream, at one "
    "place alone (a position, or each prompt's own position of a mark); the grey bar is the clean run.",
    python="m.pin_heads()",
    tables=("attention_pin",),
    run=run,
    figures=lambda tables: {"attention_pin": pins(_at_places(tables), _labels(tables), said(tables))},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def pin_heads(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Heads pinned to each stream in turn (docs/method.md, V7; the post, "Attention patterns").

    Table `attention_pin` has a row per prompt, group of heads ("a9.h1+a10.h3") and place (position and mark; null for
    the clean run): every metric when these heads attend from the final stream to that place alone.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> pinned = vitro.pin_heads(model, task).numbers
    >>> pinned["heads"][0], round(pinned["1 If"][0], 2), round(pinned["4 {subject}"][0], 2)
    ('a1.h1', 0.0, 0.82)
    """
    return ATTENTION_PIN.measure(model, task, options)
