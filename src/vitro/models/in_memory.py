"""A transformers model that is in memory already, seen without being changed."""

import copy
from typing import Any

import torch
import transformers

from vitro.errors import a_kind
from vitro.models.config import quiet_transformers
from vitro.models.errors import ModelError


def shared(hf: Any) -> Any:
    """A transformers model with the same weights, in the same memory, that is ours: in eval mode, without gradients.

    Where its owner changes a weight in place, it changes here too; all else of the owner's is left as it is.
    Raises ModelError for what is no plain causal language model: another kind, adapters, quantised layers, hooks.
    """
    if not isinstance(hf, transformers.PreTrainedModel):
        raise ModelError(
            f"{a_kind(hf)} is no model; what works: a name or path, or a model that transformers' "
            "AutoModelForCausalLM loaded"
        )
    _check_plain(hf)
    weights = {id(weight): torch.nn.Parameter(weight.detach(), requires_grad=False) for weight in hf.parameters()}
    return copy.deepcopy(hf, memo=weights).eval()


def _check_plain(hf: Any) -> None:
    name, config = type(hf).__name__, copy.deepcopy(hf.config)
    with quiet_transformers(), torch.device("meta"):
        plain = transformers.AutoModelForCausalLM.from_config(config)
    if not isinstance(hf, type(plain)):
        raise ModelError(f"a {name} gives no next token; what works: a {type(plain).__name__}")
    expected = {place: type(module) for place, module in plain.named_modules()}
    for place, module in hf.named_modules():
        if expected.pop(place, None) is not type(module) and place:
            raise ModelError(
                f"{place} of the {name} is a {type(module).__name__}, which a plain one has not (an adapter, or packed "
                "weights): merge adapters and dequantize before loading"
            )
        if module._forward_hooks or module._forward_pre_hooks:
            where = place or "the model"
            raise ModelError(f"{where} holds forward hooks, which change what it computes; remove them before loading")
    if any(weight.is_meta for weight in hf.parameters()):
        raise ModelError(f"weights of the {name} are not in memory (offloaded): load it without device_map")
