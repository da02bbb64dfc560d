"""What components put out that are in a circuit's surroundings but not live."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits.nodes import CircuitError
from vitro.engine import (
    Means,
    Prompts,
    Tree,
    checked_partners,
    clean_runs,
    first_conflict,
    of_one_length,
    pack,
)
from vitro.models import Model


@dataclass(frozen=True, eq=False)
class Constants:
    """A fixed output of the embedding, of every head (as z, before W_O) and MLP. The axes prompt and position are 1
    where all agree; where prompts differ in length there are as many positions as the longest has, and what stands
    beyond a prompt's end is not read."""

    embed: Float[Tensor, "prompt position d_model"]
    z: Float[Tensor, "layer prompt position head d_head"]
    mlp_out: Float[Tensor, "layer prompt position d_model"]
    agree_before: int = 0
    """Before this position, prompts that begin alike have the same values; from it on, each has its own."""

    def apart(self) -> int | None:
        """From which position on prompts have to be kept apart that share their beginnings; None: never."""
        own = max(self.embed.shape[0], self.z.shape[1], self.mlp_out.shape[1]) > 1
        return self.agree_before if own else None

    def check(self, prompts: Sequence[Sequence[int]]) -> None:
        """CircuitError where there are no values for some of the prompts or positions."""
        longest = max(map(len, prompts))
        for name, value in (("embed", self.embed), ("z", self.z[0]), ("mlp_out", self.mlp_out[0])):
            if value.shape[0] not in (1, len(prompts)) or 1 < value.shape[1] < longest:
                raise CircuitError(
                    f"constants: {name} is of {value.shape[0]} prompts and {value.shape[1]} positions, and there are "
                    f"{len(prompts)} prompts of up to {longest} tokens"
                )

    @classmethod
    def of(cls, means: Means) -> "Constants":
        """The means over a dataset, position by position."""
        return cls(means.embed[None], means.z[:, None], means.mlp_out[:, None])

    def embed_at(self, model: Model, where: "Nodes") -> Float[Tensor, "node d_model"]:
        """The embedding at the nodes of a tree."""
        return where.pick(self.embed).to(model.device, model.dtype)

    def z_at(self, model: Model, layer: int, where: "Nodes") -> Float[Tensor, "node head d_head"]:
        """A layer's z at the nodes of a tree."""
        return where.pick(self.z[layer]).to(model.device, model.dtype)

    def mlp_at(self, model: Model, layer: int, where: "Nodes") -> Float[Tensor, "node d_model"]:
        """An MLP's output at the nodes of a tree."""
        return where.pick(self.mlp_out[layer]).to(model.device, model.dtype)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Some nodes of a tree, each as a position of a prompt that passes through it."""

    prompt: Int[Tensor, " node"]
    position: Int[Tensor, " node"]

    @classmethod
    def of(cls, tree: Tree, first_prompt: int, device: torch.device) -> "Nodes":
        """All nodes of the tree of the prompts from `first_prompt` on, on a device."""
        prompt = torch.empty_like(tree.tokens)
        for number, path in enumerate(tree.paths):
            prompt[path[path >= 0]] = first_prompt + number
        return cls(prompt.to(device), tree.positions.to(device))

    def pick(self, values: Float[Tensor, "prompt position *width"]) -> Float[Tensor, "node *width"]:
        """The values of these nodes, from an array whose axes are 1 where all agree."""
        prompt, position = (
            index if size > 1 else torch.zeros_like(index)
            for index, size in zip((self.prompt, self.position), values.shape[:2], strict=True)
        )
        return values[prompt.to(values.device), position.to(values.device)]


@torch.inference_mode()
def counterfactual(model: Model, prompts: Prompts, partners: Prompts, memory: int | None = None) -> Constants:
    """Every component's output on each prompt's partner: the same question with something else in its place.

    prompts, partners: token ids, each partner exactly as long as its prompt, so that positions correspond; lengths may
    differ from prompt to prompt, and the values of a shorter one end in zeros that nothing reads.
    Raises PromptError where a partner has another length than its prompt.

    Example: `counterfactual(model, [[0, 5, 9]], [[0, 6, 9]])`
    """
    ids, others = checked_partners(model, prompts, partners)
    return _outputs(model, ids, others, torch.arange(len(ids)), memory)


@torch.inference_mode()
def resampled(model: Model, prompts: Prompts, seed: int, memory: int | None = None) -> Constants:
    """Every component's output on another prompt of the task: a seeded cycle through all, so none gets its own.

    prompts: token ids, of one length; PromptError where the lengths differ.
    """
    ids = of_one_length(model, prompts, "a prompt is resampled from another position by position")
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return _outputs(model, ids, ids, other, memory)


def _outputs(
    model: Model, prompts: Prompts, others: Prompts, which: Int[Tensor, " prompt"], memory: int | None
) -> Constants:
    """What every component puts out on other prompts. which: for each prompt, which of the others is its own."""
    # Prompts that begin alike have the same values for as long as those others begin alike that are theirs.
    apart = first_conflict(pack(prompts), pack(others).paths[which])
    embed, z, mlp_out = [], [], []
    for _, clean in clean_runs(model, others, memory):
        paths = clean.there.paths
        embed.append(_by_position(clean.layers[0].resid_pre, paths))
        z.append(torch.stack([_by_position(layer.z, paths) for layer in clean.layers]))
        mlp_out.append(torch.stack([_by_position(layer.mlp_out, paths) for layer in clean.layers]))
    there = which.to(model.device)
    return Constants(
        torch.cat(embed)[there],
        torch.cat(z, dim=1)[:, there],
        torch.cat(mlp_out, dim=1)[:, there],
        agree_before=max(map(len, prompts)) if apart is None else apart,
    )


def _by_position(
    values: Float[Tensor, "node *width"], paths: Int[Tensor, "prompt position"]
) -> Float[Tensor, "prompt position *width"]:
    """An activation at each prompt's positions; 0 after its end."""
    ended = (paths < 0).view(*paths.shape, *(1,) * (values.ndim - 1))
    return values[paths].masked_fill_(ended, 0.0)
