"""V4 up close, the key heads one by one: why they were chosen, and what each says to every prompt."""

import polars as pl

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_lens import HEAD_LENS, lens_columns
from vitro.experiments.key_heads import AT_MOST, reasons
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import head_top_tokens
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, head_name, labels, said
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `key_heads`: layer, head and why it is one, in the order in which all sections show them."""
    why: dict[Head, list[str]]
    if setup.options.heads is None:
        why = dict(list(reasons(setup).items())[:AT_MOST])
    else:
        why = {Head(*head): ["asked for"] for head in setup.options.heads}
    return {
        "key_heads": pl.DataFrame(
            {
                "layer": [layer for layer, _ in why],
                "head": [head for _, head in why],
                "why": [", ".join(rules) for rules in why.values()],
            }
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """Why each key head is one, and by its lens: how often the answer leads, and the means of right and wrong."""
    by_head = tables["head_lens"].group_by("layer", "head").agg(lens_columns(said(tables)))
    rows = tables["key_heads"].join(by_head, on=["layer", "head"], how="left", maintain_order="left")
    return rows.select(head_name().alias("head"), pl.col("why").alias("chosen by"), pl.exclude("layer", "head", "why"))


def summary(tables: Tables) -> str:
    """Which heads are the key heads, and what made them so."""
    heads = (f"a{layer}.h{head} ({why})" for layer, head, why in tables["key_heads"].iter_rows())
    return f"The key heads, shown one by one below: {', '.join(heads)}."


HEAD_TOKENS = Experiment(
    name="head_tokens",
    title="The key heads",
    reading="A row is a key head, a column a prompt, and the cell the token that the head's own output makes most "
    "probable by the logit lens, the darker the more; hovering lists its ten most probable tokens.",
    python="vitro.head_tokens(model, task)",
    tables=("key_heads",),
    run=run,
    figures=lambda tables: {
        "head_tokens": head_top_tokens(tables["head_lens_top"], tables["key_heads"], labels(tables))
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS, HEAD_LENS),
)


def head_tokens(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The key heads' top tokens (docs/method.md, V4; the post, "Logit lens applied to heads")."""
    return HEAD_TOKENS.measure(model, task, options)
