"""Words for the axes of figures, out of the tables of the prompts and of the clean run."""

import polars as pl

from vitro.experiments.setup import Tables


def positions(tables: Tables) -> list[str]:
    """A label for every position: the first prompt's tokens, with the subject's place named instead of filled."""
    first = tables["prompts"].filter(pl.col("prompt") == 0).sort("position")
    return ["{subject}" if role == "subject" else token for token, role in first.select("token", "role").iter_rows()]


def prompt_tokens(tables: Tables) -> list[list[str]]:
    """Every prompt's own tokens."""
    table = tables["prompts"].sort("prompt", "position").group_by("prompt", maintain_order=True).agg("token")
    return table["token"].to_list()


def subjects(tables: Tables) -> list[str]:
    """The subject of every prompt."""
    return tables["clean"].sort("prompt")["subject"].to_list()


def answers(tables: Tables) -> list[str]:
    """The correct answer of every prompt."""
    return tables["clean"].sort("prompt")["answer"].to_list()


def head_name(layer: str = "layer", head: str = "head") -> pl.Expr:
    """A head's name in the circuits' vocabulary, a9.h1, from its columns."""
    return pl.format("a{}.h{}", layer, head)
