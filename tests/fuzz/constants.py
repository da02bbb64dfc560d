"""Random constants: what components put out that are not live, alike for all prompts or of each prompt its own."""

import torch

from fuzz.draw import Draw
from fuzz.prompts import Tokens
from vitro.circuits import Constant, Constants
from vitro.circuits.nodes import CONSTANTS
from vitro.models import Model


def draw_constants(draw: Draw, model: Model, prompts: Tokens) -> Constants:
    """Of any shape: the axes prompt and position are whole or 1."""
    shape, longest = model.shape, max(map(len, prompts))
    n_prompts = draw.one_of((1, len(prompts)))
    n_positions = draw.one_of((1, longest))
    size = draw.one_of((0.3, 1.0))
    return Constants(
        embed=size * draw.normal(n_prompts, n_positions, shape.d_model),
        z=size * draw.normal(shape.n_layers, n_prompts, n_positions, shape.n_heads, shape.d_head),
        mlp_out=size * draw.normal(shape.n_layers, n_prompts, n_positions, shape.d_model),
    )


def draw_kinds(draw: Draw, model: Model, prompts: Tokens) -> dict[Constant, Constants]:
    """One for each kind; zero is zero."""
    kinds = {kind: draw_constants(draw, model, prompts) for kind in CONSTANTS}
    kinds["zero"] = zeroed(kinds["zero"])
    return kinds


def zeroed(constants: Constants) -> Constants:
    """Zeros in the place of every value."""
    embed, z, mlp_out = map(torch.zeros_like, (constants.embed, constants.z, constants.mlp_out))
    return Constants(embed, z, mlp_out)
