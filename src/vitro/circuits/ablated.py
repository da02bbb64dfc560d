"""The wholly ablated run of some prompts, which circuits within the model start from, where it is not the clean one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits.constants import Constants, Nodes
from vitro.engine import Clean, Tree
from vitro.models import Model, attend


@dataclass(frozen=True, eq=False)
class AblatedLayer:
    """A block of which every component puts out its ablated output. `out`: the nodes that leave it."""

    resid_pre: Float[Tensor, "node d_model"]
    q: Float[Tensor, "node head d_key"]
    """What heads make of the ablated stream; keys and values are repeated where heads share them."""
    k: Float[Tensor, "node head d_key"]
    v: Float[Tensor, "node head d_head"]
    z: Float[Tensor, "out head d_head"]
    """The ablated output itself, as is the MLP's."""
    together: Float[Tensor, "out d_model"] | None
    """What the heads write together, where a norm reads that before the stream does."""
    mlp_in: Float[Tensor, "out d_model"]
    mlp_out: Float[Tensor, "out d_model"]


@dataclass(frozen=True, eq=False)
class Attending:
    """Some changing nodes as queries: each by a prompt that passes through it, with that prompt's nodes as keys."""

    queries: Int[Tensor, "prompt query"]
    """Places among the changing nodes; any of them after a prompt's last."""
    keys: Int[Tensor, "prompt key"]
    """Places among all nodes of the tree followed by the changing ones."""
    back: Int[Tensor, " out"]
    """Where each of the nodes stands among all queries."""
    distance: Int[Tensor, "prompt query key"]
    """How many positions back the key is."""

    @classmethod
    def of(
        cls, tree: Tree, prompt_of: Int[Tensor, " any"], changing: Int[Tensor, " node"], out: Int[Tensor, " out"]
    ) -> "Attending":
        """prompt_of: a prompt of the tree that passes through each node; out: places among the changing ones."""
        n_nodes = len(tree.tokens)
        place = torch.arange(n_nodes)
        place[changing] = n_nodes + torch.arange(len(changing))
        prompts, slot = prompt_of[changing[out]].unique(return_inverse=True)
        groups = [(slot == number).nonzero()[:, 0] for number in range(len(prompts))]
        widest = max(map(len, groups))
        queries, back = torch.zeros(len(groups), widest, dtype=torch.long), torch.zeros(len(out), dtype=torch.long)
        for number, group in enumerate(groups):
            queries[number, : len(group)] = out[group]
            queries[number, len(group) :] = out[group[0]]
            back[group] = number * widest + torch.arange(len(group))
        positions = tree.positions[changing][queries]
        paths = tree.paths[prompts][:, : int(positions.max()) + 1]
        # Beyond a prompt's end nothing attends: its first node stands there.
        keys = place[torch.where(paths >= 0, paths, paths[:, :1])]
        return cls(queries, keys, back, positions[..., None] - torch.arange(paths.shape[1]))

    def to(self, device: torch.device) -> "Attending":
        """The same on a device."""
        return Attending(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Ablated:
    """The ablated run at the nodes at which it differs from the clean one; in the last block, where it is read."""

    clean: Clean
    positions: Int[Tensor, " node"]
    input_change: Float[Tensor, "node d_model"]
    """The clean input minus the ablated one."""
    layers: tuple[AblatedLayer, ...]
    resid_final: Float[Tensor, "final d_model"]
    attending: tuple[Attending, Attending]
    """All changing nodes, and the final ones among them."""
    finals: Int[Tensor, " final"]
    """The final nodes' places among the changing ones."""
    prompts: Int[Tensor, " prompt"]
    """The prompts that change at all,"""
    final_of: Int[Tensor, " prompt"]
    """and which of the finals is theirs."""

    @property
    def model(self) -> Model:
        """As it runs these prompts."""
        return self.clean.model

    @classmethod
    def of(cls, clean: Clean, constants: Constants, first_prompt: int) -> "Ablated | None":
        """first_prompt: the number of the tree's first. None where nothing changes."""
        model, tree, device = clean.model, clean.tree, clean.model.device
        changing = constants.changing(tree, first_prompt)
        if not len(changing):
            return None
        place = torch.full_like(tree.tokens, -1)
        place[changing] = torch.arange(len(changing))
        prompts = (place[tree.finals] >= 0).nonzero()[:, 0]
        finals, final_of = place[tree.finals[prompts]].unique(return_inverse=True)
        nodes = Nodes.of(tree, first_prompt, tree.tokens.device)
        attending = tuple(
            Attending.of(tree, nodes.prompt - first_prompt, changing, out).to(device)
            for out in (torch.arange(len(changing)), finals)
        )
        nodes = Nodes(nodes.prompt[changing].to(device), nodes.position[changing].to(device))
        changing, finals = changing.to(device), finals.to(device)

        embed = constants.embed_at(model, nodes)
        resid, layers = embed, []
        per_key = model.shape.n_heads // model.shape.n_kv_heads
        for layer in range(model.shape.n_layers):
            q, k, v = model.qkv(layer, resid[None], nodes.position)
            k, v = (shared[0].repeat_interleave(per_key, dim=1) for shared in (k, v))
            z, mlp = constants.z_at(model, layer, nodes), constants.mlp_at(model, layer, nodes)
            pre, out = resid, finals if layer == model.shape.n_layers - 1 else slice(None)
            z, mlp, resid = z[out], mlp[out], resid[out]
            together = model.together(layer, z)
            mid = resid + model.after_heads(layer, together)
            kept = None if model.blocks[layer].after_heads is None else together
            layers.append(AblatedLayer(pre, q[0], k, v, z, kept, resid if model.parallel else mid, mlp))
            resid = mid + mlp
        return cls(
            clean=clean,
            positions=nodes.position,
            input_change=clean.layers[0].resid_pre[changing] - embed,
            layers=tuple(layers),
            resid_final=resid,
            attending=(attending[0], attending[1]),
            finals=finals,
            prompts=prompts.to(device),
            final_of=final_of.to(device),
        )

    def mixed(
        self,
        layer: int,
        head_of: Int[Tensor, " output"],
        q: Float[Tensor, "node output d_key"],
        k: Float[Tensor, "node output d_key"],
        v: Float[Tensor, "node output d_head"],
    ) -> Float[Tensor, "out output d_head"]:
        """z of some outputs of a layer's heads, from their queries, keys and values, at the nodes that leave it.

        head_of: which head each is of. Where nothing changes, keys and values are the clean run's.
        """
        model, clean = self.model, self.clean
        attending = self.attending[layer == len(self.layers) - 1]
        kv_head_of = head_of // (model.shape.n_heads // model.shape.n_kv_heads)
        k, v = (
            torch.cat([old.index_select(1, kv_head_of), new])[attending.keys]
            for old, new in ((clean.layers[layer].k, k), (clean.layers[layer].v, v))
        )
        mask = model.blocks[layer].sees(attending.distance)[:, None]
        return attend(model, layer, q[attending.queries], k, v, mask, head_of).flatten(0, 1)[attending.back]

    def outputs_at_once(self, streams: int) -> int:
        """How many outputs of heads to mix at once, where so many streams are worked on.

        Heads are narrower than streams, and have each node once for every prompt that passes.
        """
        n_keys = self.attending[0].keys.numel() + len(self.clean.tree.tokens)
        return max(1, streams // (n_keys * self.model.shape.d_head // self.model.shape.d_model + 1))

    def finals_of(
        self, streams: Float[Tensor, "final stream d_model"], stream_of: Int[Tensor, " circuit"]
    ) -> Float[Tensor, "circuit prompt d_model"]:
        """What each circuit's logits read, prompt by prompt, from the distinct streams after the last block."""
        resid = self.clean.resid_final[self.clean.there.finals].repeat(len(stream_of), 1, 1)
        resid[:, self.prompts] = streams[:, stream_of][self.final_of].transpose(0, 1)
        return resid
