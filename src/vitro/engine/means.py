"""Mean activations over sentences, position by position: the outputs that mean ablation gives components."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine.clean import clean_runs
from vitro.engine.prompts import Prompts, of_one_length
from vitro.engine.results import Progress
from vitro.models import Model


@dataclass(frozen=True, eq=False)
class Means:
    """The mean output of the embedding, every head and every MLP at every position, in float32."""

    embed: Float[Tensor, "position d_model"]
    z: Float[Tensor, "layer position head d_head"]
    mlp_out: Float[Tensor, "layer position d_model"]


@torch.inference_mode()
def mean_activations(
    model: Model,
    sentences: Prompts,
    *,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Means:
    """Means over sentences of the same length, summed in float64 so that order and packing do not matter.

    Raises PromptError where the lengths differ, and what `clean_runs` does.

    >>> mean_activations(model, prompts).z.shape
    torch.Size([3, 7, 4, 16])
    """
    sentences = of_one_length(model, sentences, "a mean over sentences is taken position by position")
    shape, n_positions = model.shape, len(sentences[0])
    z = torch.zeros(shape.n_layers, n_positions, shape.n_heads, shape.d_head, dtype=torch.float64, device=model.device)
    embed = torch.zeros(n_positions, shape.d_model, dtype=torch.float64, device=model.device)
    mlp_out = torch.zeros(shape.n_layers, n_positions, shape.d_model, dtype=torch.float64, device=model.device)
    for part, clean in clean_runs(model, sentences, memory):
        tree, position = clean.tree, clean.there.positions
        # A node stands for every sentence that passes through it.
        weight = torch.bincount(tree.paths.flatten(), minlength=len(tree.tokens)).to(z)
        embed.index_add_(0, position, clean.layers[0].resid_pre * weight[:, None])
        for layer, cache in enumerate(clean.layers):
            z[layer].index_add_(0, position, cache.z * weight[:, None, None])
            mlp_out[layer].index_add_(0, position, cache.mlp_out * weight[:, None])
        if progress is not None:
            progress(part.stop, len(sentences))
    return Means(*((total / len(sentences)).float() for total in (embed, z, mlp_out)))
