"""Runs of which gradients are taken: prompts side by side, computed only where something can change."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.circuits import Constants
from vitro.circuits.constants import Nodes
from vitro.discovery.rules import Rules
from vitro.engine import Clean, precise_format
from vitro.models import HeadNorm, Model, weights_of


@dataclass(frozen=True, eq=False)
class Columns:
    """Some prompts, padded at their beginnings, so that all end in the last column; the last `n_live` columns run.

    Before them nothing changes in any prompt: there the clean run's keys and values serve, as constants. Columns that
    run although nothing changes there yet, and those before a prompt's beginning, have no effect on what follows.
    Everything is on the model's device, and `stream` counts the columns that run, prompt by prompt.
    """

    clean: Clean
    n_live: int
    nodes: Int[Tensor, "prompt column"]
    """The node of the clean run's tree; before a prompt's beginning that of its first token."""
    real: Bool[Tensor, "prompt column"]
    places: Nodes
    """The prompt and position of each stream."""
    changing: Bool[Tensor, " stream"]

    @classmethod
    def of(cls, clean: Clean, first_prompt: int, constants: Constants) -> "Columns":
        """The prompts of a tree. first_prompt: the number of its first, for constants of its own."""
        paths, device = clean.tree.paths, clean.model.device
        lengths = (paths >= 0).sum(1)
        n_prompts, longest = len(paths), int(lengths.max())
        position = torch.arange(longest) - (longest - lengths)[:, None]
        number = first_prompt + torch.arange(n_prompts)
        since = torch.tensor(constants.since)
        since = (since[number] if since.ndim else since.expand(n_prompts)).minimum(lengths)
        n_live = int((lengths - since).max())
        live = position[:, longest - n_live :]
        places = Nodes(number.repeat_interleave(n_live).to(device), live.clamp_min(0).flatten().to(device))
        return cls(
            clean,
            n_live,
            nodes=paths.gather(1, position.clamp_min(0)).to(device),
            real=(position >= 0).to(device),
            places=places,
            changing=(live >= since[:, None]).flatten().to(device),
        )

    @property
    def model(self) -> Model:
        """As it runs these prompts."""
        return self.clean.model

    @cached_property
    def live(self) -> Int[Tensor, " stream"]:
        """The node of each stream."""
        live: Tensor = self.nodes[:, self.nodes.shape[1] - self.n_live :].flatten()
        return live

    def by_prompt(self, values: Float[Tensor, "*row stream width"]) -> Float[Tensor, "*row prompt live width"]:
        """Streams, each prompt's together."""
        apart: Tensor = values.unflatten(-2, (len(self.nodes), self.n_live))
        return apart

    def visible(self, layer: int) -> Bool[Tensor, "prompt 1 live column"]:
        """What each stream attends to in a layer. Itself always: a row of nothing would be NaN."""
        column = torch.arange(self.nodes.shape[1], device=self.nodes.device)
        back = column[len(column) - self.n_live :, None] - column
        seen = self.model.blocks[layer].sees(back)
        return (seen & (self.real[:, None] | (back == 0)))[:, None]


@dataclass(frozen=True, eq=False)
class Block:
    """What the readers of a block read: each a tensor of its own, whose gradient passes through this reader alone."""

    resid: Float[Tensor, "1 stream d_model"]
    """The stream that enters the block."""
    q: Float[Tensor, "1 stream head d_head"]
    """Every head's own queries, as they are projected; keys and values likewise, where heads share them too."""
    k: Float[Tensor, "1 stream head d_head"]
    v: Float[Tensor, "1 stream head d_head"]
    mlp_in: Float[Tensor, "1 stream d_model"]
    scales: tuple[Float[Tensor, "1 stream head"] | None, Float[Tensor, "1 stream head"] | None]
    """What each head's own queries and keys are divided by where all heads are normed as one vector."""

    @property
    def reads(self) -> tuple[Tensor, ...]:
        """All that is read."""
        return self.q, self.k, self.v, self.mlp_in, *(scale for scale in self.scales if scale is not None)


def run_block(
    columns: Columns,
    layer: int,
    resid: Float[Tensor, "1 stream d_model"],
    rules: Rules,
    *,
    z: Float[Tensor, "1 stream head d_head"] | None = None,
    mlp_out: Float[Tensor, "1 stream d_model"] | None = None,
) -> tuple[Float[Tensor, "1 stream d_model"], Block]:
    """The stream that leaves a block, and what is read in it. z, mlp_out: constants in the place of its own."""
    model, block = columns.model, columns.model.blocks[layer]
    group = model.shape.n_heads // model.shape.n_kv_heads
    q, *shared = block.qkv(rules.norm(block.head_norm, resid))
    k, v = (of_heads.repeat_interleave(group, dim=2) for of_heads in shared)
    projected = q
    if block.q_norm is not None and block.q_norm.whole is not None:
        # A norm of all heads takes its scale from all: what each divides by it is a tensor of its own.
        q = q.clone()
    q_own, q_scale = _normed(block.q_norm, q, projected, 1)
    k_own, k_scale = _normed(block.k_norm, k, shared[0], group)
    mixed = z
    if mixed is None:
        mixed = _attend(columns, layer, block.limited(q_own), block.limited(k_own), block.limited(v), rules)
    mid = resid + rules.attn_out(model, layer, mixed)
    mlp_in = (resid if model.parallel else mid).clone()
    out = mid + (rules.mlp_out(model, layer, mlp_in) if mlp_out is None else mlp_out)
    return out, Block(resid, q, k, v, mlp_in, (q_scale, k_scale))


def _normed(
    norm: HeadNorm | None,
    heads: Float[Tensor, "1 stream head d_head"],
    projected: Float[Tensor, "1 stream kv_head d_head"],
    group: int,
) -> tuple[Float[Tensor, "1 stream head d_head"], Float[Tensor, "1 stream head"] | None]:
    """Every head's own queries or keys after their norm, and each head's own scale where it is one of all heads.

    projected: all heads of the stream that they are made of; each is `group` times in `heads`.
    """
    if norm is None:
        return heads, None
    if norm.whole is None:
        return norm.of_repeated(heads, group), None
    whole = norm.whole
    scale = whole.scale(projected.flatten(-2)).expand(*heads.shape[:-1]).clone()
    gain = whole.gain.to(scale).unflatten(-1, (-1, heads.shape[-1])).repeat_interleave(group, dim=0)
    return (heads.to(scale.dtype) / scale[..., None] * gain).to(heads.dtype), scale


def run_from(
    columns: Columns,
    layer: int,
    resid: Float[Tensor, "1 stream d_model"],
    rules: Rules,
    *,
    z: Float[Tensor, "1 stream head d_head"] | None = None,
    mlp_out: Float[Tensor, "1 stream d_model"] | None = None,
) -> tuple[Float[Tensor, "1 stream d_model"], dict[int, Block]]:
    """The final stream, and what is read in each block, from the stream that enters a layer. z, mlp_out: its own."""
    blocks = {}
    resid, blocks[layer] = run_block(columns, layer, resid, rules, z=z, mlp_out=mlp_out)
    for above in range(layer + 1, columns.model.shape.n_layers):
        resid, blocks[above] = run_block(columns, above, resid, rules)
    return resid, blocks


def _attend(
    columns: Columns,
    layer: int,
    q: Float[Tensor, "1 stream head d_head"],
    k: Float[Tensor, "1 stream head d_head"],
    v: Float[Tensor, "1 stream head d_head"],
    rules: Rules,
) -> Float[Tensor, "1 stream head d_head"]:
    """Every head's mixed values. Prompt by prompt: a stream attends to its own prompt's columns alone."""
    model, cache = columns.model, columns.clean.layers[layer]
    each = torch.arange(model.shape.n_heads, device=q.device)
    q, k = model.turn(layer, q, k, columns.places.position, (each, each))
    past = columns.nodes[:, : columns.nodes.shape[1] - columns.n_live]
    group = model.shape.n_heads // model.shape.n_kv_heads

    def whole(before: Tensor, live: Tensor) -> Float[Tensor, "prompt column head d_head"]:
        return torch.cat([before[past].repeat_interleave(group, dim=2), live[0].unflatten(0, (len(past), -1))], dim=1)

    keys, values = whole(cache.k, k), whole(cache.v, v)
    products = torch.einsum("pqhd,pkhd->phqk", q[0].unflatten(0, (len(past), -1)), keys).to(precise_format(model))
    weights = weights_of(model, layer, products, columns.visible(layer))
    pattern = rules.pattern(weights).to(values.dtype)
    return torch.einsum("phqk,pkhd->pqhd", pattern, values).flatten(0, 1)[None]
