"""Gradients of what is read, summed over runs, and what they come to at the streams that it is read of."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import Graph
from vitro.discovery.columns import Block, Columns
from vitro.discovery.rules import Rules
from vitro.engine import precise_format


class Sums:
    """The sums over runs of some prompts' gradients: at queries, keys, values, MLPs and the logits."""

    def __init__(self, columns: Columns, graph: Graph, rules: Rules) -> None:
        self.columns, self.graph, self.rules = columns, graph, rules
        model = columns.model
        shape, n_streams = model.shape, len(columns.live)

        def zeros(*size: int) -> list[Tensor]:
            precise = precise_format(model)
            return [torch.zeros(size, dtype=precise, device=model.device) for _ in range(shape.n_layers)]

        # A head's q, k and v are read through a norm. With x' the centred stream over its scale s, that of a gradient g
        # at q is centred(gain W_Q g) / s - x' mean(x' gain W_Q g) / s: here are the sums of g / s, and those of
        # the second term, which is the part through the scale.
        self.at_heads = zeros(n_streams, shape.n_heads, 3, shape.d_head)
        self.by_scale = zeros(n_streams, shape.n_heads * 3, shape.d_model)
        self.at_mlp = zeros(n_streams, shape.d_model)
        self.at_logits = torch.zeros_like(self.at_mlp[0])

    @contextmanager
    def input_constant(self) -> Iterator[None]:
        """Meanwhile no gradients are added for what reads the input alone, where that is the token's embedding alone.

        In EAP-IG's code a constant in its place has none. Where positions are embedded, they stand beside it and have.
        """
        model = self.columns.model
        if model.embeds_positions:
            yield
            return
        sums = [self.at_heads, self.by_scale, *([self.at_mlp] if model.parallel else [])]
        before = [layers[0].clone() for layers in sums]
        yield
        for layers, value in zip(sums, before, strict=True):
            layers[0] = value

    def add(self, blocks: Mapping[int, Block], gradients: Sequence[Tensor]) -> None:
        """Add a run's gradients of all that is read in some blocks, in the order of `Block.reads`."""
        of_reads = iter(gradient[0] for gradient in gradients)
        for layer, block in blocks.items():
            q, k, v, mlp_in, *scales = islice(of_reads, len(block.reads))
            self.at_mlp[layer] += mlp_in
            self._add_heads(layer, block.resid[0].detach(), torch.stack([q, k, v], dim=2))
            for number, (scale, projected) in enumerate(zip(block.scales, (block.q, block.k), strict=True)):
                if scale is not None:
                    self._add_scales(layer, number, block.resid[0].detach(), projected[0].detach(), scales.pop(0))

    def _add_heads(
        self, layer: int, resid: Float[Tensor, "stream d_model"], qkv: Float[Tensor, "stream head 3 d_head"]
    ) -> None:
        model = self.columns.model
        norm = model.head_norm(layer)
        scale = norm.scale(resid)
        scaled = qkv / scale[..., None, None]
        self.at_heads[layer] += scaled
        if not self.rules.scales_held and norm.module is not None:
            normed = norm.centre(resid.to(scale.dtype)) / scale
            weights = self._weights(layer)
            projected = torch.einsum("sm,hcmd->shcd", normed * norm.gain.to(scale), weights)
            through = (projected * scaled).mean(-1) * (model.shape.d_head / model.shape.d_model)
            self.by_scale[layer].baddbmm_(through.flatten(1)[..., None], normed[:, None])

    def _add_scales(
        self,
        layer: int,
        number: int,
        resid: Float[Tensor, "stream d_model"],
        projected: Float[Tensor, "stream head d_head"],
        gradient: Float[Tensor, "stream head"],
    ) -> None:
        """Add the part through the scale of a norm of all queries (number 0) or keys (1) as one vector.

        That scale is t = sqrt(mean(p^2) + eps), p the projections x W of the normed stream x, and dt/dx = W p / (n t).
        """
        model = self.columns.model
        block, norm = model.blocks[layer], model.head_norm(layer)
        of_heads = (block.q_norm, block.k_norm)[number]
        assert of_heads is not None
        assert of_heads.whole is not None
        weight = block.qkv.weights[number].to(precise_format(model))
        # Each head of keys once, however many share it.
        p = projected[:, :: projected.shape[1] // len(weight)].to(weight.dtype)
        along = torch.einsum("shd,hmd->sm", p, weight) / (p[0].numel() * of_heads.whole.scale(p.flatten(1)))
        scale = norm.scale(resid)
        slope = norm.centre(along * norm.gain.to(along)) / scale
        if norm.module is not None and not self.rules.scales_held:
            normed = norm.centre(resid.to(scale.dtype)) / scale
            slope -= normed * (normed * norm.gain.to(along) * along).mean(-1, keepdim=True) / scale
        # `by_scale` is what is taken away.
        rows = self.by_scale[layer].unflatten(1, (-1, 3))[:, :, number]
        rows -= gradient.to(slope.dtype)[..., None] * slope[:, None]

    def _weights(self, layer: int) -> Float[Tensor, "head 3 d_model d_head"]:
        model = self.columns.model
        weights = torch.stack([model.w_query(layer), model.w_key(layer), model.w_value(layer)], dim=1)
        return weights.to(precise_format(model))

    def readers(self) -> Iterator[tuple[int, Float[Tensor, "reader stream d_model"]]]:
        """The summed gradients of the readers' streams, before their norms, in the order of the edges.

        A layer's heads (each by q, k and v), its MLP, the next layer's, the logits last. Readers of the same sources
        come together, with the number of those sources (the first ones in the model's order).
        """
        model, graph = self.columns.model, self.graph
        for layer in range(model.shape.n_layers):
            norm = model.head_norm(layer)
            through_weights = torch.einsum("shcd,hcmd->shcm", self.at_heads[layer], self._weights(layer)).flatten(1, 2)
            into_heads = (
                norm.centre(through_weights * norm.gain.to(through_weights)) - self.by_scale[layer]
            ).transpose(0, 1)
            into_mlp, before = self.at_mlp[layer][None], len(graph.sources_before(layer))
            if model.parallel:
                yield before, torch.cat([into_heads, into_mlp])
            else:
                yield before, into_heads
                yield before + graph.n_heads, into_mlp
        yield len(graph.sources), self.at_logits[None]
