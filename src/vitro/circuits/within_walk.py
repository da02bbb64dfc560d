"""A batch of circuits within the model, run layer by layer at the nodes at which anything changes."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits.ablated import Ablated, AblatedLayer
from vitro.circuits.within_plan import Block, Layer, Piece, Plan, Projection, n_sums


class Walk:
    """Runs a plan. What an output adds to the streams that read it is its difference from its ablated output.

    Where a norm reads what a layer's heads write together, their outputs are kept as that norm reads them, and what
    they add is worked out for each sum.
    """

    def __init__(self, ablated: Ablated, plan: Plan, streams: int) -> None:
        """streams: how many are worked on at once."""
        self.ablated, self.plan, self.streams = ablated, plan, streams
        self.model = ablated.model
        self.sent = plan.sent(self.model.device)
        size = (len(ablated.positions), plan.n_outputs, self.model.shape.d_model)
        self.written: Float[Tensor, "node output d_model"] = ablated.input_change.new_empty(size)
        self.together = [layer.together for layer in ablated.layers]
        """Of each layer at the nodes of `written`: what its ablated heads write together, where a norm reads that."""

    def run(self) -> Float[Tensor, "circuit prompt d_model"]:
        """What the logits of each circuit read."""
        for _ in self.layers():
            pass
        return self.finals()

    def layers(self) -> Iterator[Tensor]:
        """Run layer by layer; gives what each has written, and what the input has before them."""
        if self.plan.n_outputs:
            self.written[:, 0] = self.ablated.input_change
            yield self.written[:, :1]
        done = 1
        for layer, (steps, ablated) in enumerate(zip(self.plan.layers, self.ablated.layers, strict=True)):
            n_new = steps.head_of.shape[0] + steps.mlp_outputs.shape[0]
            self._heads(layer, steps, ablated)
            self._mlps(layer, steps, ablated)
            yield self.written[:, done : done + n_new]
            done += n_new

    def finals(self) -> Float[Tensor, "circuit prompt d_model"]:
        """The stream after the last block, at each prompt's final node."""
        base = self.ablated.resid_final
        sums = [self._sums(self.plan.final_sums, base, nodes) for nodes in self._chunks(self.plan.final_sums)]
        streams = torch.cat([base[:, None], torch.cat(sums)], dim=1) if sums else base[:, None]
        return self.ablated.finals_of(streams, self._at(self.plan.final_of))

    def _at(self, piece: Piece) -> Int[Tensor, "..."]:
        return piece.of(self.sent)

    def _chunks(self, blocks: Sequence[Block]) -> Iterator[slice]:
        """The nodes at which outputs are written, as many at once as the number of sums allows; none without sums."""
        if width := n_sums(blocks):
            size = max(1, self.streams // width)
            for start in range(0, len(self.written), size):
                yield slice(start, start + size)

    def _sums(
        self, blocks: Sequence[Block], base: Float[Tensor, "out d_model"], nodes: slice
    ) -> Float[Tensor, "node sum d_model"]:
        """The ablated stream plus the outputs of each sum, at some of the nodes."""
        ablated, written = base[nodes, None], self.written[nodes]
        sums = []
        for block in blocks:
            total, has = ablated, self._at(block.has).to(ablated.dtype).expand(len(ablated), -1, -1)
            outputs = _picked(written, self._at(block.outputs))
            for layer, heads in block.heads:
                if (together := self.together[layer]) is not None:
                    change = has[..., heads] @ outputs[:, heads]
                    total = total + self._heads_add(layer, together[nodes, None], change)
                    outputs[:, heads] = 0.0
            sums.append(torch.baddbmm(total, has, outputs))
        return torch.cat(sums, dim=1)

    def _heads_add(
        self, layer: int, ablated: Float[Tensor, "node 1 d_model"], change: Float[Tensor, "node sum d_model"]
    ) -> Float[Tensor, "node sum d_model"]:
        """What the stream gets more of a layer's heads where their sum changes, as the norm after them reads it."""
        return self.model.after_heads(layer, ablated + change) - self.model.after_heads(layer, ablated)

    def _heads(self, layer: int, steps: Layer, ablated: AblatedLayer) -> None:
        last = layer == self.model.shape.n_layers - 1
        q, k, v = self._project(layer, steps, ablated)
        if last:
            # From here on only the final nodes are read.
            self.written = self.written[self.ablated.finals]
            below = [None if at is None else at[self.ablated.finals] for at in self.together[:-1]]
            self.together = [*below, ablated.together]
        if not steps.head_outputs:
            return
        z = self._mixed(layer, steps, (q, k, v))
        first = steps.head_outputs[0][1].start
        w_out = self.model.w_out(layer) if ablated.together is None else self.model.w_together(layer)
        for head, outputs in steps.head_outputs:
            change = z[:, outputs.start - first : outputs.stop - first] - ablated.z[:, head, None]
            self.written[:, outputs] = change @ w_out[head]

    def _project(self, layer: int, steps: Layer, ablated: AblatedLayer) -> list[Float[Tensor, "node _made _width"]]:
        """Queries, keys and values as heads attend by them: every head's of the ablated stream, and those of sums."""
        model, made = self.model, []
        for projections in steps.projections:
            n_made = projections[-1].made.stop if projections else 0
            made.append(ablated.v.new_empty((len(ablated.v), n_made, model.shape.d_head)))
        own = model.own_projections(layer)
        for nodes in self._chunks(steps.head_sums):
            normed = model.head_norm(layer)(self._sums(steps.head_sums, ablated.resid_pre, nodes))
            for project, projections, out in zip(own, steps.projections, made, strict=True):
                for projection in projections:
                    read = _picked(normed, self._at(projection.sums))
                    out[nodes, projection.made] = project(projection.head, read)
        heads = (_head_of(steps.projections[0], made[0].device), _head_of(steps.projections[1], made[1].device))
        q, k = model.turn(layer, made[0][None], made[1][None], self.ablated.positions, heads)
        pairs = ((ablated.q, q[0]), (ablated.k, k[0]), (ablated.v, made[2]))
        return [torch.cat(pair, dim=1) for pair in pairs]

    def _mixed(
        self, layer: int, steps: Layer, qkv: Sequence[Float[Tensor, "node _made _width"]]
    ) -> Float[Tensor, "out output d_head"]:
        """z of every output of the layer's heads, at the nodes that leave it."""
        made_from, head_of = self._at(steps.made_from), self._at(steps.head_of)
        size = self.ablated.outputs_at_once(self.streams)
        z = []
        for start in range(0, len(head_of), size):
            here = slice(start, start + size)
            q, k, v = (_picked(part, which[here]) for part, which in zip(qkv, made_from, strict=True))
            z.append(self.ablated.mixed(layer, head_of[here], q, k, v))
        return torch.cat(z, dim=1)

    def _mlps(self, layer: int, steps: Layer, ablated: AblatedLayer) -> None:
        outputs = self._at(steps.mlp_outputs)
        for nodes in self._chunks(steps.mlp_sums):
            out = self.model.mlp_out(layer, self._sums(steps.mlp_sums, ablated.mlp_in, nodes))
            self.written[nodes, outputs] = out - ablated.mlp_out[nodes, None]


def _head_of(projections: Sequence[Projection], device: torch.device) -> Int[Tensor, " made"]:
    """Which head each of what is made belongs to."""
    widths = [(each.made.stop - each.made.start, each.head) for each in projections]
    numbers = [torch.full((width,), head, device=device) for width, head in widths]
    return torch.cat(numbers) if numbers else torch.zeros(0, dtype=torch.long, device=device)


def _picked(
    values: Float[Tensor, "node _any width"], which: Int[Tensor, " picked"]
) -> Float[Tensor, "node picked width"]:
    """Some of the sums or outputs at each node. On a CPU three times as fast as an index."""
    return values.index_select(1, which)
