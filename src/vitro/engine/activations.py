"""Activations of the model's own run, by the names that TransformerLens gives them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.engine.clean import clean_runs
from vitro.engine.edit import Site
from vitro.engine.forward import Clean, clean_attention
from vitro.engine.norm import final_scale, normalized, precise_format
from vitro.engine.prompts import Prompts
from vitro.errors import VitroError
from vitro.models import Model


class SiteError(VitroError):
    """An activation asked for that a model does not have."""


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations by name, each [prompt, position, ...]; a pattern is [prompt, head, query, key].

    They lie on the CPU in float32 (float64 of a model in float64), so `.numpy()` works on each. Where prompts differ in
    length, values beyond a prompt's end are NaN, so that no mean includes them unnoticed; `of` leaves them out.

    >>> activations(model, [[0, 5, 9], [0, 5]], ["z"]).of("blocks.1.attn.hook_z", prompt=1).shape
    torch.Size([2, 4, 16])
    """

    values: Mapping[str, Tensor]
    lengths: tuple[int, ...]
    """How many tokens each prompt has."""

    @property
    def names(self) -> tuple[str, ...]:
        """TransformerLens's names, in the order of the request."""
        return tuple(self.values)

    def __getitem__(self, name: str) -> Float[Tensor, "prompt *axes"]:
        if name not in self.values:
            raise SiteError(f"there is no activation {name!r} here; there are {', '.join(self.names)}")
        return self.values[name]

    def of(self, name: str, prompt: int) -> Float[Tensor, "*axes"]:
        """A prompt's own, as long as the prompt: [position, ...]; of a pattern [head, query, key]."""
        value, length = self[name][prompt], self.lengths[prompt]
        return value[..., :length, :length] if "hook_pattern" in name else value[:length]


# Not under `inference_mode`: its tensors could not be changed in place, or trained on.
@torch.no_grad()
def activations(model: Model, prompts: Prompts, sites: Sequence[str | Site], memory: int | None = None) -> Activations:
    """Activations of the model's own run on some prompts.

    prompts: token ids; lengths may differ. sites: TransformerLens's names (`blocks.9.attn.hook_z`, `hook_embed`,
    `ln_final.hook_normalized`), without `blocks.9.` for all layers; in short `z9` for one layer, `z` for all; or the
    engine's own, `z(9, 1)` for one head. memory: bytes for everything but the model and what is returned.
    The numbers are those of TransformerLens without any processing of the weights. `hook_q` and `hook_k` are before the
    rotation by position and `hook_rot_q` and `hook_rot_k` after it; keys and values are of the heads that there are
    (`n_kv_heads`); `hook_result` is each head's share in what its layer writes, without b_O and before a norm after
    it; `ln_final.hook_normalized` is before the norm's weight and bias, and `ln_final.hook_out`, which the unembedding
    reads, after them.
    Raises SiteError for a place that the model does not have, PromptError for prompts that it cannot be run on.

    >>> activations(model, prompts, ["resid_post1", "pattern2"]).names
    ('blocks.1.hook_resid_post', 'blocks.2.attn.hook_pattern')
    """
    forms = _forms(model)
    places: dict[str, _Place] = {}
    for site in map(str, [sites] if isinstance(sites, str | Site) else sites):
        if site not in forms:
            raise SiteError(_refusal(model, site))
        places |= {place.name: place for place in forms[site]}
    parts: dict[str, list[Tensor]] = {name: [] for name in places}
    lengths: list[int] = []
    for _, clean in clean_runs(model, prompts, memory):
        lengths += (clean.tree.paths >= 0).sum(1).tolist()
        for name, place in places.items():
            parts[name].append(place.take(clean).cpu())
    return Activations({name: torch.cat(values) for name, values in parts.items()}, tuple(lengths))


@dataclass(frozen=True)
class _Place:
    """A place in the model: a hook's name without the layer, and the layer if it lies in a block."""

    hook: str
    layer: int | None = None
    head: int | None = None

    @property
    def name(self) -> str:
        block = "" if self.layer is None else f"blocks.{self.layer}."
        return f"{block}{self.hook}" + ("" if self.head is None else f"[{self.head}]")

    def take(self, clean: Clean) -> Float[Tensor, "prompt *axes"]:
        """The activation prompt by prompt; NaN beyond a prompt's end."""
        value = _OUTSIDE[self.hook](clean) if self.layer is None else _IN_BLOCKS[self.hook](clean, self.layer)
        value, paths = value.to(precise_format(clean.model)), clean.there.paths
        if self.hook == "attn.hook_pattern":
            return _pattern(value if self.head is None else value[self.head], paths)
        value = (value if self.head is None else value[:, self.head])[paths]
        return value.masked_fill((paths < 0).view(*paths.shape, *(1,) * (value.ndim - 2)), torch.nan)


def _pattern(
    weights: Float[Tensor, "*head node node"], paths: Int[Tensor, "prompt position"]
) -> Float[Tensor, "prompt *head position position"]:
    """Attention between the nodes of a tree as attention within each prompt."""
    within = weights[..., paths[:, :, None], paths[:, None, :]].movedim(-3, 0)
    ended = (paths < 0)[:, :, None] | (paths < 0)[:, None, :]
    return within.masked_fill(ended.view(len(paths), *(1,) * (within.ndim - 3), *ended.shape[1:]), torch.nan)


def _before_rotation(clean: Clean, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values at the nodes of the tree."""
    model = clean.model
    q, k, v = model.project(layer, model.head_norm(layer)(clean.layers[layer].resid_pre[None]))
    return q[0], k[0], v[0]


def _rotated_queries(clean: Clean, layer: int) -> Float[Tensor, "node head d_head"]:
    return clean.model.qkv(layer, clean.layers[layer].resid_pre[None], clean.there.positions)[0][0]


def _result(clean: Clean, layer: int) -> Float[Tensor, "node head d_model"]:
    z = clean.layers[layer].z
    return torch.einsum("nhd,hdm->nhm", z, clean.model.blocks[layer].w_out.unflatten(0, z.shape[1:]))


def _stream_after(clean: Clean, layer: int) -> Float[Tensor, "node d_model"]:
    return clean.resid_final if layer + 1 == len(clean.layers) else clean.layers[layer + 1].resid_pre


def _position_embedding(clean: Clean) -> Float[Tensor, "node d_model"]:
    embedding = clean.model.pos_embed(clean.there.positions)
    assert embedding is not None
    return embedding


_OUTSIDE: Mapping[str, Callable[[Clean], Tensor]] = {
    "hook_embed": lambda clean: clean.model.token_embed(clean.there.tokens),
    "hook_pos_embed": _position_embedding,
    "ln_final.hook_scale": lambda clean: final_scale(clean.model, clean.resid_final),
    "ln_final.hook_normalized": lambda clean: normalized(clean.model, clean.resid_final),
    "ln_final.hook_out": lambda clean: clean.model.final_norm(clean.resid_final),
}
"""The hooks outside the blocks, at the nodes of a tree."""

_IN_BLOCKS: Mapping[str, Callable[[Clean, int], Tensor]] = {
    "hook_resid_pre": lambda clean, layer: clean.layers[layer].resid_pre,
    "attn.hook_q": lambda clean, layer: _before_rotation(clean, layer)[0],
    "attn.hook_k": lambda clean, layer: _before_rotation(clean, layer)[1],
    "attn.hook_v": lambda clean, layer: clean.layers[layer].v,
    "attn.hook_rot_q": _rotated_queries,
    "attn.hook_rot_k": lambda clean, layer: clean.layers[layer].k,
    "attn.hook_pattern": clean_attention,
    "attn.hook_z": lambda clean, layer: clean.layers[layer].z,
    "attn.hook_result": _result,
    "hook_attn_out": lambda clean, layer: clean.model.attn_out(layer, clean.layers[layer].z[None])[0],
    "hook_resid_mid": lambda clean, layer: clean.layers[layer].resid_mid,
    "hook_mlp_out": lambda clean, layer: clean.layers[layer].mlp_out,
    "hook_resid_post": _stream_after,
}
"""The hooks in each block."""

_OF_HEADS = ("attn.hook_z", "attn.hook_pattern")
"""The hooks of which a single head can be asked for, as of the engine's sites."""


def _absent(model: Model) -> dict[str, str]:
    """The hooks that a model does not have, and why."""
    absent = {}
    if model.parallel:
        absent["hook_resid_mid"] = "a parallel block has no stream between its heads and its MLP"
    if not model.rotates:
        absent |= dict.fromkeys(("attn.hook_rot_q", "attn.hook_rot_k"), "this model does not rotate queries and keys")
    if not model.embeds_positions:
        absent["hook_pos_embed"] = "this model embeds no positions; its heads see them"
    return absent


def _forms(model: Model) -> dict[str, list[_Place]]:
    """The places that each name that may be asked for stands for."""
    absent, layers = _absent(model), range(model.shape.n_layers)
    forms: dict[str, list[_Place]] = {}
    for hook in _OUTSIDE:
        if hook not in absent:
            forms[hook] = [_Place(hook)]
            if hook.startswith("hook_"):
                forms[_short(hook)] = forms[hook]
    for hook in _IN_BLOCKS:
        if hook in absent:
            continue
        forms[hook] = forms[_short(hook)] = [_Place(hook, layer) for layer in layers]
        for layer in layers:
            place = _Place(hook, layer)
            forms[place.name] = forms[f"{_short(hook)}{layer}"] = [place]
            for head in range(model.shape.n_heads if hook in _OF_HEADS else 0):
                forms[_Place(hook, layer, head).name] = [_Place(hook, layer, head)]
    return forms


def _short(hook: str) -> str:
    return hook.split("hook_")[-1]


def _refusal(model: Model, site: str) -> str:
    """Why there is no such activation, and what there is."""
    absent = _absent(model)
    for hook, why in absent.items():
        if site.rstrip("0123456789") in (hook, _short(hook)) or site.endswith(f".{hook}"):
            return f"there is no {site!r} in this model: {why}"
    outside, inside = ([hook for hook in hooks if hook not in absent] for hooks in (_OUTSIDE, _IN_BLOCKS))
    return (
        f"there is no {site!r} in this model; what works: {', '.join(outside)}, and in blocks 0 to "
        f"{model.shape.n_layers - 1} (as blocks.0.{inside[0]}) {', '.join(inside)}"
    )
