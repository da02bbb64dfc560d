"""V6, attention: where every head looks from the final stream, and the whole pattern of the key heads."""

import numpy as np
import polars as pl
import torch

from vitro.engine import clean_attention, clean_runs
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.key_heads import key_heads
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, attention_patterns, final_attention
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import (
    ELSEWHERE,
    Tables,
    at_places,
    counted,
    first_prompt,
    head_name,
    leader,
    numbered,
    places,
    prompt_tokens,
    varies,
)
from vitro.tasks import Task

LOOKS = 0.01
"""Attention weights below this are ignored."""


def run(setup: Setup) -> Tables:
    """Table `attention`: from the final stream, every head. Table `attention_pattern`: the key heads, query by key."""
    weights = setup.streams.attention.cpu().numpy()
    there = np.arange(weights.shape[-1]) < np.array(setup.questions.lengths)[:, None, None, None]
    prompt, layer, head, position = np.nonzero(np.broadcast_to(there, weights.shape))
    where = {"prompt": prompt, "layer": layer, "head": head, "position": position}
    return {
        "attention": pl.DataFrame({**where, "weight": weights[prompt, layer, head, position]}),
        "attention_pattern": _patterns(setup),
    }


@torch.inference_mode()
def _patterns(setup: Setup) -> pl.DataFrame:
    heads = key_heads(setup)
    frames: dict[Head, list[pl.DataFrame]] = {head: [] for head in heads}
    for part, clean in clean_runs(setup.model, setup.questions.tokens, setup.options.memory):
        layers = {layer: clean_attention(clean, layer).cpu() for layer, _ in heads}
        for number, path in enumerate(clean.tree.paths):
            path = path[path >= 0]
            query, key = np.tril_indices(len(path))
            for layer, head in heads:
                weights = layers[layer][head][path][:, path]
                frames[Head(layer, head)].append(
                    pl.DataFrame(
                        {
                            "prompt": np.full(len(query), part.start + number),
                            "layer": np.full(len(query), layer),
                            "head": np.full(len(query), head),
                            "query": query,
                            "key": key,
                            "weight": weights.numpy()[query, key],
                        }
                    )
                )
    # Head by head, independent of how the prompts were split into parts.
    return pl.concat([frame for head in heads for frame in frames[head]])


def _of_key_heads(tables: Tables) -> pl.DataFrame:
    """The rows of `attention` that belong to the heads in `attention_pattern`, in their order, by `places`."""
    heads = tables["attention_pattern"].select("layer", "head").unique(maintain_order=True)
    weights = heads.join(tables["attention"], on=["layer", "head"], maintain_order="left_right")
    return at_places(tables, weights.select("prompt", "layer", "head", "position", "weight"))


def numbers(tables: Tables) -> pl.DataFrame:
    """For every key head: mean attention from the final stream to each place."""
    mean = (
        _of_key_heads(tables)
        .with_columns(head_name().alias("from the final stream of"))
        .group_by("from the final stream of", "position", maintain_order=True)
        .agg(pl.col("weight").mean())
        .sort("position", maintain_order=True)
        .pivot("position", index="from the final stream of", values="weight")
    )
    return mean.rename(
        {str(place): label for place, label in enumerate(numbered(tables, places(tables)))}, strict=False
    )


def summary(tables: Tables) -> str:
    """Where each key head looks most."""
    labels = places(tables)
    table = _of_key_heads(tables).with_columns(head_name().alias("name"))
    looks = []
    for name in table["name"].unique(maintain_order=True):
        most = leader(table.filter(name=name), ("position",), pl.col("weight"), floor=LOOKS)
        label = labels[most.key[0]].strip(" {}")
        at = f"{label if label == ELSEWHERE else f'at {label}'} ({most.mean:.2f})"
        looks.append(f"{name} {at}" if most.stands_out else f"{name} at no one place beyond the prompts' spread")
    n_prompts = table["prompt"].n_unique()
    return f"From the final stream, on average over {counted(n_prompts)}, the key heads look most: {', '.join(looks)}."


def figures(tables: Tables) -> dict[str, Figure]:
    """Where the key heads look, over all prompts, and their patterns.

    Where prompts have different forms, a mean over positions is meaningless: the pattern shown is the first prompt's.
    """
    patterns = tables["attention_pattern"]
    if varies(tables):
        tokens = prompt_tokens(tables)
        return {
            "attention": final_attention(_of_key_heads(tables), places(tables), tokens),
            "attention_pattern": attention_patterns(patterns, places(tables), tokens),
        }
    return {
        "attention": final_attention(_of_key_heads(tables), places(tables)),
        "attention_pattern": attention_patterns(patterns.filter(prompt=0), first_prompt(tables)),
    }


ATTENTION = Experiment(
    name="attention",
    title="Attention",
    reading="The rows show where each key head looks from the final stream, the triangles its whole pattern, each row "
    "a position that looks, each column one that is looked at; of prompts of different forms the rows show the marks "
    "that they share, and the triangles are the first prompt's.",
    python="m.attention()",
    tables=("attention", "attention_pattern"),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def attention(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Where the heads look (docs/method.md, V6; the post, "Attention patterns").

    Table `attention` has a row per prompt, layer, head and position: the weight from the final stream; the weights of a
    head in a prompt sum to 1. Table `attention_pattern` has the key heads' whole patterns, by query and key.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.attention(model, task).numbers["from the final stream of", "4 {subject}"].row(0)
    ('a1.h1', 0.99...)
    """
    return ATTENTION.measure(model, task, options)
