"""The claims by chance: how many models with random weights satisfy each."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def by_chance() -> tuple[Mapping[int, int], int]:
    """For each claim how many of the random models satisfy it, and how many models there are.

    They have GPT-2 small's shape and tokenizer and the weights that transformers initialises. Run once by
    `benchmarks/claims_null.py`, which wrote null.json: seeds, options and versions are in it.
    """
    record = json.loads(files("vitro.claims").joinpath("null.json").read_text("utf-8"))
    return {int(claim): len(seeds) for claim, seeds in record["holds"].items()}, len(record["seeds"])
