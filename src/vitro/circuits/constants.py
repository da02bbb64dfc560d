"""The fixed outputs of components that a circuit reads but does not compute."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """A fixed output of the embedding, of every head (as z, before W_O) and MLP.

    The axes prompt and position have size 1 where all agree. Where prompts differ in length, there are as many
    positions as the longest has, and values beyond a prompt's end are not read.

    >>> Constants.of(vitro.engine.mean_activations(model, prompts)).z.shape
    torch.Size([3, 1, 7, 4, 16])
    """

    embed: Float[Tensor, "#prompt #position d_model"]
    z: Float[Tensor, "layer #prompt #position head d_head"]
    mlp_out: Float[Tensor, "layer #prompt #position d_model"]
    agree_before: int = 0
    """Before this position, prompts that begin alike have the same values; from it on, each has its own."""
    since: int | tuple[int, ...] = 0
    """From which position on they say something, in every prompt or in each: before it, they are what the model itself
    puts out there, so that nothing changes and nothing is computed."""

    def apart(self) -> int | None:
        """The position from which prompts with a common beginning have to be kept apart; None: never."""
        sizes = (self.embed.shape[0], self.z.shape[1], self.mlp_out.shape[1])
        differ = max(sizes) > 1 or (isinstance(self.since, tuple) and len(set(self.since)) > 1)
        return self.agree_before if differ else None

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
    def of(cls, means: Means, since: int = 0) -> "Constants":
        """The means over a dataset, position by position; `since` as below."""
        return cls(means.embed[None], means.z[:, None], means.mlp_out[:, None], since=since)

    def changing(self, tree: Tree, first_prompt: int) -> Int[Tensor, " node"]:
        """The nodes of a tree at which they differ from what the model puts out. first_prompt: the number of its first.

        tree: on the CPU, where the numbers of nodes are worked out.
        """
        nodes = Nodes.of(tree, first_prompt, tree.tokens.device)
        since = torch.tensor(self.since)
        return (nodes.position >= (since[nodes.prompt] if since.ndim else since)).nonzero()[:, 0]

    def embed_at(self, model: Model, nodes: "Nodes") -> Float[Tensor, "node d_model"]:
        """The embedding at the nodes of a tree."""
        return nodes.pick(self.embed).to(model.device, model.dtype)

    def z_at(self, model: Model, layer: int, nodes: "Nodes") -> Float[Tensor, "node head d_head"]:
        """A layer's z at the nodes of a tree."""
        return nodes.pick(self.z[layer]).to(model.device, model.dtype)

    def mlp_at(self, model: Model, layer: int, nodes: "Nodes") -> Float[Tensor, "node d_model"]:
        """An MLP's output at the nodes of a tree."""
        return nodes.pick(self.mlp_out[layer]).to(model.device, model.dtype)


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
    """Every component's output on each prompt's partner: the same question about something else.

    prompts, partners: token ids, each partner exactly as long as its prompt, so that positions correspond; lengths may
    differ from prompt to prompt, and the values of a shorter one end in zeros that nothing reads.
    Raises PromptError where a partner has another length than its prompt.

    >>> counterfactual(model, [[0, 5, 9]], [[0, 6, 9]]).mlp_out.shape
    torch.Size([3, 1, 3, 64])
    """
    ids, partners = checked_partners(model, prompts, partners)
    since = tuple(map(_first_difference, ids, partners))
    return replace(_outputs(model, ids, partners, torch.arange(len(ids)), memory), since=since)


@torch.inference_mode()
def resampled(model: Model, prompts: Prompts, seed: int, memory: int | None = None) -> Constants:
    """Every component's output on another prompt of the task: a seeded cycle through all, so none gets its own.

    prompts: token ids, all of the same length; PromptError where the lengths differ.

    >>> resampled(model, prompts, seed=0).mlp_out.shape
    torch.Size([3, 7, 7, 64])
    """
    ids = of_one_length(model, prompts, "a prompt is resampled from another position by position")
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    partner_numbers = torch.empty_like(order)
    partner_numbers[order] = order.roll(1)
    since = tuple(_first_difference(ids[row], ids[partner]) for row, partner in enumerate(partner_numbers.tolist()))
    return replace(_outputs(model, ids, ids, partner_numbers, memory), since=since)


def _first_difference(prompt: Sequence[int], other: Sequence[int]) -> int:
    """The first position at which they differ; their length where they do not."""
    differ = (position for position, (token, its) in enumerate(zip(prompt, other, strict=True)) if token != its)
    return next(differ, len(prompt))


def _outputs(
    model: Model, prompts: Prompts, partners: Prompts, partner_numbers: Int[Tensor, " prompt"], memory: int | None
) -> Constants:
    """What every component puts out on each prompt's partner. partner_numbers: of each prompt, among `partners`."""
    # Prompts with a common beginning have the same values for as long as their partners agree.
    apart = first_conflict(pack(prompts), pack(partners).paths[partner_numbers])
    embed, z, mlp_out = [], [], []
    for _, clean in clean_runs(model, partners, memory):
        paths = clean.there.paths
        embed.append(_by_position(clean.layers[0].resid_pre, paths))
        z.append(torch.stack([_by_position(layer.z, paths) for layer in clean.layers]))
        mlp_out.append(torch.stack([_by_position(layer.mlp_out, paths) for layer in clean.layers]))
    index = partner_numbers.to(model.device)
    return Constants(
        torch.cat(embed)[index],
        torch.cat(z, dim=1)[:, index],
        torch.cat(mlp_out, dim=1)[:, index],
        agree_before=max(map(len, prompts)) if apart is None else apart,
    )


def _by_position(
    values: Float[Tensor, "node *width"], paths: Int[Tensor, "prompt position"]
) -> Float[Tensor, "prompt position *width"]:
    """An activation at each prompt's positions; 0 after its end."""
    ended = (paths < 0).view(*paths.shape, *(1,) * (values.ndim - 1))
    return values[paths].masked_fill_(ended, 0.0)
