"""The clean run, prompt by prompt: what the logit lens and the attention figures read."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine import Prompts, clean_final_attention, clean_runs
from vitro.models import Model


@dataclass(frozen=True, eq=False)
class Streams:
    """Activations of the final streams of some prompts, of any lengths."""

    resid_pre: Float[Tensor, "prompt layer d_model"]
    resid_mid: Float[Tensor, "prompt layer d_model"]
    resid_post: Float[Tensor, "prompt layer d_model"]
    mlp_out: Float[Tensor, "prompt layer d_model"]
    z: Float[Tensor, "prompt layer head d_head"]
    attention: Float[Tensor, "prompt layer head position"]
    """0 after a prompt's end."""


@torch.inference_mode()
def clean_streams(model: Model, prompts: Prompts, memory: int | None = None) -> Streams:
    """The model's clean run on some prompts."""
    parts: dict[str, list[Tensor]] = {name: [] for name in Streams.__dataclass_fields__}
    for _, clean in clean_runs(model, prompts, memory):
        finals = clean.there.finals
        layers = clean.layers
        after = [layer.resid_pre for layer in layers[1:]] + [clean.resid_final]
        parts["resid_pre"].append(torch.stack([layer.resid_pre[finals] for layer in layers], dim=1))
        parts["resid_mid"].append(torch.stack([layer.resid_mid[finals] for layer in layers], dim=1))
        parts["resid_post"].append(torch.stack([resid[finals] for resid in after], dim=1))
        parts["mlp_out"].append(torch.stack([layer.mlp_out[finals] for layer in layers], dim=1))
        parts["z"].append(torch.stack([layer.z[finals] for layer in layers], dim=1))
        attention = [clean_final_attention(clean, layer).transpose(0, 1) for layer in range(len(layers))]
        parts["attention"].append(torch.stack(attention, dim=1))
    return Streams(**{name: torch.cat(part) for name, part in parts.items()})
