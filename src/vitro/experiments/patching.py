"""Activation patching: each activation in turn set to what it is on the prompt's counterfactual."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import polars as pl

from vitro.engine import PATCHES, Patch
from vitro.engine import patch as patched
from vitro.experiments.ablation import metric_columns
from vitro.experiments.effects import CHANGES, effects
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.kept import setup_of
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, patching_heatmaps
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, OptionError, Options
from vitro.progress import bar
from vitro.tables import Tables, head_name, leader, places, said, varies
from vitro.tasks import Task

STREAMS: tuple[Patch, ...] = ("resid_pre", "attn_out", "mlp_out")
"""The sites that are patched by default."""


def run(setup: Setup) -> Tables:
    """The table of `patching_of` for the stream, what heads write, and MLPs."""
    return patching_of(setup, STREAMS)


def patching_of(setup: Setup, sites: Sequence[Patch], positions: Sequence[int | str] | None = None) -> Tables:
    """Table `patching`: prompt, site, layer, head (null except for z and pattern), position, mark, and every change.

    positions: numbers, or names of marks; None: every position where prompts differ in their subject alone, else every
    mark. A change is patched minus clean, with a single activation at a single position set to the counterfactual's.
    """
    setup = setup.swept
    questions = setup.questions
    assert questions.partner is not None
    where = _places(setup, positions)
    frames = []
    for site in sites:
        with bar(f"{site} patched") as progress:
            values = patched(
                setup.model,
                questions.tokens,
                questions.partner,
                site,
                effects(setup),
                positions=[at for _, at in where],
                memory=setup.options.memory,
                progress=progress,
            )
        shape = next(iter(values.values())).shape
        index = np.indices(shape).reshape(len(shape), -1)
        layer, place, prompt = index[0], index[-2], index[-1]
        heads = index[1] if len(shape) == 4 else [None] * len(layer)
        at = np.array([[own[row] for row in range(len(questions))] for _, own in where])
        frames.append(
            pl.DataFrame(
                {
                    "prompt": setup.prompt_numbers[prompt],
                    "site": [site] * len(layer),
                    "layer": layer,
                    "head": pl.Series(heads, dtype=pl.Int64),
                    "position": at[place, prompt],
                    "mark": pl.Series([where[number][0] for number in place], dtype=pl.String),
                    **metric_columns(values, (*CHANGES, "kl"), len(layer)),
                }
            )
        )
    return {"patching": pl.concat(frames)}


def _places(setup: Setup, positions: Sequence[int | str] | None) -> list[tuple[str | None, tuple[int, ...]]]:
    """The requested positions, each with its mark's name and a number for every prompt."""
    questions = setup.questions
    marked = questions.marked
    if positions is None and not setup.varying:
        return [(mark, at) for at, mark in marked.items()]
    chosen: list[tuple[str | None, tuple[int, ...]]] = []
    for position in range(questions.lengths[0]) if positions is None else positions:
        if isinstance(position, str):
            if position not in questions.marks:
                raise OptionError(f"there is no mark {position!r} in this task; there are {', '.join(questions.marks)}")
            chosen.append((position, questions.marks[position]))
        elif isinstance(position, bool) or not isinstance(position, Integral):
            raise OptionError(f"a position is {position!r}; what works: whole numbers, and marks of the task")
        else:
            at = tuple(position if position >= 0 else length + position for length in questions.lengths)
            if not all(0 <= place < length for place, length in zip(at, questions.lengths, strict=True)):
                shortest = min(questions.lengths)
                raise OptionError(f"not every prompt has a position {position}: the shortest has {shortest} tokens")
            chosen.append((marked.get(at), at))
    return chosen


def _by_place(tables: Tables) -> pl.DataFrame:
    """The table with `place`, in words, in the order of the positions."""
    table = tables["patching"]
    if varies(tables):
        words = dict(enumerate(f"{at} {label.strip()}" for at, label in enumerate(places(tables))))
        return table.with_columns(pl.col("position").replace_strict(words, return_dtype=pl.String).alias("place"))
    return table.with_columns(pl.coalesce("mark", pl.col("position").cast(pl.String)).alias("place"))


def numbers(tables: Tables) -> pl.DataFrame:
    """For every site the three layers and places whose patching changes the metric most."""
    change = said(tables).change
    component = pl.when(pl.col("head").is_null()).then(pl.format("layer {}", "layer")).otherwise(head_name())
    means = (
        _by_place(tables)
        .with_columns(component.alias("where"))
        .group_by("site", "where", "place", maintain_order=True)
        .agg(pl.col(change).mean().alias(f"change of {said(tables).quantity.short}"))
    )
    size = pl.col(f"change of {said(tables).quantity.short}").abs()
    return means.sort(size, descending=True, maintain_order=True).group_by("site", maintain_order=True).head(3)


def summary(tables: Tables) -> str:
    """Where the counterfactual's stream costs the answer most before the last layers take it over."""
    spoken = said(tables)
    table = _by_place(tables).filter(pl.col("head").is_null())
    sentences = []
    for site in table["site"].unique(maintain_order=True):
        first = leader(table.filter(site=site), ("layer", "place"), -pl.col(spoken.change))
        if first.stands_out:
            layer, place = first.key
            sentences.append(f"{site} of layer {layer} at \u201c{place}\u201d ({-first.mean:+.3g})")
    if not sentences:
        return ""
    lowers = f"lowers the {spoken.quantity.short} most is {', '.join(sentences)}"
    return f"Of what is set to its value on the counterfactual, what {lowers}."


def figures(tables: Tables) -> dict[str, Figure]:
    """A heat map for each site: layers (or heads) down, places across."""
    return {"patching": patching_heatmaps(_by_place(tables), said(tables))}


PATCHING = Experiment(
    name="patching",
    title="Activations patched from the counterfactual",
    reading="Each cell is one activation at one position, set to what it is on the counterfactual prompt while all "
    "else runs on: red where the answer loses by it, so that what tells the prompts apart passes there.",
    python="m.patch()",
    tables=("patching",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    asks=("partner",),
)


def patch(
    model: Model,
    task: Task | str,
    sites: Sequence[Patch] = STREAMS,
    positions: Sequence[int | str] | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Measurement:
    """Patch any site of the model, each layer (and head) and position, from the prompt's counterfactual.

    sites: resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, pattern. positions: numbers, negative ones from the
    end, or marks of the task ("subject", "IO"); None: see `patching_of`.
    Table `patching` has a row per prompt, site, layer, head (for z and pattern) and position: how every metric changes,
    patched minus clean, and kl = KL(clean || patched) in nats.
    Source: Meng et al. 2022 (arXiv 2202.05262); Zhang & Nanda 2023 (arXiv 2309.16042).

    Raises `OptionError` for a site or mark that does not exist, and for a task without counterfactuals.

    >>> vitro.patch(model, task, ["attn_out"], ["subject", "final"]).numbers["where", "place"].row(0)
    ('layer 1', '7 is')
    """
    return patched_in(setup_of(model, task, options), sites, positions)


def patched_in(setup: Setup, sites: Sequence[Patch], positions: Sequence[int | str] | None) -> Measurement:
    """`patch` in a setup."""
    if isinstance(sites, str) or not sites or not set(sites) <= set(PATCHES):
        raise OptionError(f"sites are {sites!r}; what works: a list of {', '.join(PATCHES)}")
    if isinstance(positions, str):
        raise OptionError(f"positions are {positions!r}; what works: a list, such as [{positions!r}]")
    setup.check()
    PATCHING.check(setup)
    return PATCHING.of(setup.with_tables({PATCHING.name: patching_of(setup, sites, positions)}))
