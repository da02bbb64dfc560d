"""V0, the prompts: what the model is given, token by token."""

import numpy as np
import polars as pl

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Setup, Tables


def run(setup: Setup) -> Tables:
    """Table `prompts`: prompt, position, token_id, token, role (bos, template, content, subject or final)."""
    tokens = setup.prompts.tokens
    prompt, position = np.indices(tokens.shape)
    return {
        "prompts": pl.DataFrame(
            {
                "prompt": prompt.ravel(),
                "position": position.ravel(),
                "token_id": tokens.ravel(),
                "token": setup.token_text(tokens.ravel().tolist()),
                "role": list(setup.prompts.roles) * len(tokens),
            }
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """The first prompt, token by token."""
    return tables["prompts"].filter(pl.col("prompt") == 0).drop("prompt")


PROMPTS = Experiment(
    name="prompts",
    title="The prompts",
    reading="The first prompt, token by token: the others differ in the subject alone, and the answer is read at the "
    "final position.",
    python='vitro.EXPERIMENTS["prompts"].measure(model, task)',
    tables=("prompts",),
    run=run,
    figures=lambda tables: {},
    numbers=numbers,
)
