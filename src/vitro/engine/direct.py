"""Direct attribution: what every component adds itself to a logit difference, with the final norm's scale fixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine.clean import clean_runs
from vitro.engine.forward import Clean
from vitro.engine.norm import final_scale, precise_format
from vitro.engine.prompts import PromptError, Prompts, checked_prompts
from vitro.models import Model


@dataclass(frozen=True, eq=False)
class Shares:
    """What each component adds to a number that is linear in the logits; over all components, they sum to it."""

    names: tuple[str, ...]
    """In the model's order: `embed` and `pos_embed` (at the final position); `a0.h0` a head, `b0` the bias of a layer's
    heads, `m0` an MLP; `norm` the final norm's bias, `unembed` the unembedding's."""
    values: Float[Tensor, "component prompt"]

    def __getitem__(self, name: str) -> Float[Tensor, " prompt"]:
        return self.values[self.names.index(name)]


@torch.no_grad()
def direct_attribution(
    model: Model,
    prompts: Prompts,
    right: Sequence[Sequence[int]],
    wrong: Sequence[Sequence[int]],
    *,
    value_bias: Literal["excluded", "included"] = "excluded",
    memory: int | None = None,
) -> Shares:
    """Every component's share in the mean logit of the right tokens minus that of the wrong ones, at the final stream.

    prompts, right, wrong: token ids, of each prompt; a prompt without wrong tokens is scored by its right ones alone.
    value_bias: whether a head's share has what it adds at every position alike (`Model.folded_value_bias`); where it is
    excluded, `b9` has that of all heads of layer 9 as well as b_O. Where a norm stands after the heads, its scale is
    held at the clean run's, and what a head writes is `z @ w_out` over that (docs/method.md, section 4.3). Where logits
    are soft-capped, the shares are of the logits before the cap, which are linear in the stream.
    With the direction d = mean W_U[right] - mean W_U[wrong] and the clean run's own scale s of the final norm (and the
    mean removed, where it is a LayerNorm), what writes x to the final stream adds x . g, g = (w d - mean(w d)) / s. Of
    d and of b_U it is what the model multiplies its logits by.
    Exact to rounding: the shares sum to the difference of the clean run's logits.
    Source: Elhage et al. 2021 ("direct path"); direct logit attribution in Wang et al. 2022 (arXiv 2211.00593).

    >>> shares = direct_attribution(model, prompts, right=[[3]] * 7, wrong=[[4]] * 7)
    >>> shares.names[:4], shares["a1.h0"].shape
    (('embed', 'pos_embed', 'a0.h0', 'a0.h1'), torch.Size([7]))
    """
    ids = checked_prompts(model, prompts)
    if not len(ids) == len(right) == len(wrong):
        raise PromptError(f"there are {len(ids)} prompts, right tokens of {len(right)} and wrong ones of {len(wrong)}")
    for number, tokens in enumerate(zip(right, wrong, strict=True)):
        if unknown := [token for token in chain(*tokens) if not 0 <= token < model.shape.d_vocab]:
            raise PromptError(
                f"prompt {number} asks for the token {unknown[0]}, and the model knows 0 to {model.shape.d_vocab - 1}"
            )
    parts = []
    for part, clean in clean_runs(model, ids, memory):
        parts.append(_shares(clean, right[part], wrong[part], with_value_bias=value_bias == "included").cpu())
    return Shares(_names(model), torch.cat(parts, dim=1))


def _names(model: Model) -> tuple[str, ...]:
    layers, heads = range(model.shape.n_layers), range(model.shape.n_heads)
    blocks = [name for at in layers for name in (*(f"a{at}.h{head}" for head in heads), f"b{at}", f"m{at}")]
    positions = ["pos_embed"] if model.embeds_positions else []
    return ("embed", *positions, *blocks, "norm", "unembed")


def _shares(
    clean: Clean, right: Sequence[Sequence[int]], wrong: Sequence[Sequence[int]], *, with_value_bias: bool
) -> Float[Tensor, "component prompt"]:
    """The shares of the prompts of one tree, in the order of `_names`."""
    model, finals, precise = clean.model, clean.there.finals, precise_format(clean.model)
    tokens, positions = clean.there.tokens[finals], clean.there.positions[finals]
    direction, offset = (part * model.readout.scale for part in _direction(model, right, wrong))
    norm = model.readout.norm
    along = norm.centre(direction * norm.gain.to(direction)) / final_scale(model, clean.resid_final[finals])

    def share(written: Float[Tensor, "*prompt d_model"]) -> Float[Tensor, " prompt"]:
        return (written.to(precise) * along).sum(-1)

    shares = [share(model.token_embed(tokens))]
    if (embedded := model.pos_embed(positions)) is not None:
        shares.append(share(embedded))
    for layer, cache in enumerate(clean.layers):
        folded = model.folded_value_bias(layer)
        constant = torch.zeros_like(folded) if with_value_bias else folded
        z, w_out, constant = cache.z[finals], model.w_out(layer).to(precise), constant.to(precise)
        scale = model.write_scale(layer, z)
        through = along if scale is None else along / scale
        shares += torch.einsum("phd,hdm,pm->hp", z.to(precise) - constant, w_out, through).unbind()
        bias = model.b_out(layer).to(precise) + torch.einsum("hd,hdm->m", constant, w_out)
        shares += [through @ bias, share(cache.mlp_out[finals])]
    shares.append(torch.zeros_like(offset) if norm.shift is None else direction @ norm.shift.to(precise))
    return torch.stack([*shares, offset])


def _direction(
    model: Model, right: Sequence[Sequence[int]], wrong: Sequence[Sequence[int]]
) -> tuple[Float[Tensor, "prompt d_model"], Float[Tensor, " prompt"]]:
    """Mean W_U of the right tokens minus that of the wrong ones, and the same of b_U."""
    precise = precise_format(model)
    bias = torch.zeros(model.shape.d_vocab, device=model.device) if model.b_unembed is None else model.b_unembed

    def mean(rows: Tensor, tokens: Sequence[int]) -> Tensor:
        picked = rows[torch.tensor(tokens, device=model.device, dtype=torch.long)].to(precise)
        return picked.mean(0) if tokens else torch.zeros_like(rows[0], dtype=precise)

    def difference(rows: Tensor) -> Tensor:
        return torch.stack([mean(rows, yes) - mean(rows, no) for yes, no in zip(right, wrong, strict=True)])

    return difference(model.w_unembed), difference(bias)
