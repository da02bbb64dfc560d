"""What the ablations of single components share: a sweep, and its effects as a table."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from vitro.engine import Variant
from vitro.experiments.effects import effects
from vitro.experiments.setup import Setup


def ablation_table(
    setup: Setup, variants: Mapping[tuple[str | int, ...], Variant], keys: Sequence[str], what: str
) -> pl.DataFrame:
    """One row per prompt and variant: prompt, the variant's keys under their names, and its `effects`."""
    found = setup.sweep(variants.values(), effects(setup), what)
    n_prompts = len(setup.prompts.tokens)
    prompt = np.tile(np.arange(n_prompts), len(variants))
    named = zip(keys, zip(*variants, strict=True), strict=True)
    return pl.DataFrame(
        {
            "prompt": prompt,
            **{name: np.repeat(np.array(values), n_prompts) for name, values in named},
            **{name: value.numpy().ravel() for name, value in found.items()},
        }
    )
