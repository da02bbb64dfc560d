"""Blocks run by transformers' own modules and plain hooks, where heads or their queries and keys are normed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vitro.circuits import Constants, Edge, Node, node
from vitro.circuits.nodes import INPUT, LOGITS, head, mlp
from vitro.models import Model


@dataclass(frozen=True)
class Names:
    """What transformers calls the parts of a block; empty where there is none."""

    blocks: str = "model.layers"
    attention: str = "self_attn"
    projections: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    out: str = "o_proj"
    before_heads: str = "input_layernorm"
    after_heads: str = ""
    before_mlp: str = "post_attention_layernorm"
    after_mlp: str = ""
    mlp: str = "mlp"
    final: str = "model.norm"
    parallel: bool = False


_SANDWICH = Names(
    after_heads="post_attention_layernorm",
    before_mlp="pre_feedforward_layernorm",
    after_mlp="post_feedforward_layernorm",
)
NAMES = {
    "llama": Names(),
    "qwen3": Names(),
    "gpt_oss": Names(),
    "gemma2": _SANDWICH,
    "gemma3_text": _SANDWICH,
    "olmo2": Names(
        before_heads="",
        after_heads="post_attention_layernorm",
        before_mlp="",
        after_mlp="post_feedforward_layernorm",
    ),
    "glm4": Names(
        after_heads="post_self_attn_layernorm", before_mlp="post_attention_layernorm", after_mlp="post_mlp_layernorm"
    ),
    "cohere": Names(before_mlp="input_layernorm", parallel=True),
    "bloom": Names("transformer.h", "self_attention", ("query_key_value",), "dense", final="transformer.ln_f"),
    "mpt": Names(
        "transformer.blocks",
        "attn",
        ("Wqkv",),
        "out_proj",
        "norm_1",
        before_mlp="norm_2",
        mlp="ffn",
        final="transformer.norm_f",
    ),
}
"""By the model's type."""


def norm(block: Any, name: str, x: Tensor) -> Tensor:
    """A norm of a block, where it has one of that name."""
    normed: Tensor = getattr(block, name)(x) if name else x
    return normed


@dataclass
class Plain:
    """A model's blocks, part by part, for one prompt; gradients pass through all of it."""

    model: Model
    tokens: Sequence[int]
    names: Names = field(init=False)
    blocks: Any = field(init=False)

    def __post_init__(self) -> None:
        self.names = NAMES[self.model.hf.config.model_type]
        self.blocks = self.model.hf.get_submodule(self.names.blocks)

    def attention(self, layer: int) -> Any:
        return getattr(self.blocks[layer], self.names.attention)

    def out(self, layer: int) -> Any:
        return getattr(self.attention(layer), self.names.out)

    def run(self, handles: Sequence[Any] = ()) -> Tensor:
        """Final logits of the model's own pass under hooks, which are taken off again."""
        try:
            logits: Tensor = self.model.hf(torch.tensor([list(self.tokens)])).logits[0, -1]
            return logits
        finally:
            for handle in handles:
                handle.remove()

    def input(self) -> Tensor:
        """The stream that enters the first block."""
        seen: list[Tensor] = []
        self.run([self.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0][0]))])
        return seen[0]

    def every_z(self) -> list[Tensor]:
        """Each layer's mixed values in the model's own run: [position, head, d_head]."""
        seen: list[Tensor] = []
        layers = range(self.model.shape.n_layers)
        keep = [self.out(at).register_forward_pre_hook(lambda module, args: seen.append(args[0][0])) for at in layers]
        self.run(keep)
        return [z.unflatten(-1, (self.model.shape.n_heads, -1)) for z in seen]

    def z(self, layer: int, number: int, streams: Sequence[Tensor]) -> Tensor:
        """A head's mixed values, its queries, keys and values each made of a stream: [position, d_head].

        A pass of the model, in which the layer's projections put out what they make of these streams.
        """
        attention, shape = self.attention(layer), self.model.shape
        made = [norm(self.blocks[layer], self.names.before_heads, stream[None]) for stream in streams]
        handles, seen = [], []
        if len(self.names.projections) == 3:
            for name, read in zip(self.names.projections, made, strict=True):
                handles.append(_puts_out(getattr(attention, name), getattr(attention, name)(read)))
        else:
            project = getattr(attention, self.names.projections[0])
            handles.append(_puts_out(project, self._mixed(number, [project(read) for read in made])))
        handles.append(self.out(layer).register_forward_pre_hook(lambda module, args: seen.append(args[0][0])))
        self.run(handles)
        z: Tensor = seen[0].unflatten(-1, (shape.n_heads, shape.d_head))[:, number]
        return z

    def _mixed(self, number: int, outputs: Sequence[Tensor]) -> Tensor:
        """A fused projection's output of which one head's queries, keys and values are those of three."""
        shape = self.model.shape
        axes = (3, shape.n_heads) if self.model.hf.config.model_type == "mpt" else (shape.n_heads, 3)
        apart = [output.unflatten(-1, (*axes, shape.d_head)) for output in outputs]
        mixed = apart[0].clone()
        for which, output in enumerate(apart):
            at = (which, number) if axes[0] == 3 else (number, which)
            mixed[..., at[0], at[1], :] = output[..., at[0], at[1], :]
        together: Tensor = mixed.flatten(-3)
        return together

    def written(self, layer: int, z: Tensor) -> Tensor:
        """What all heads of a layer write to the stream together: [position, d_model]."""
        together = self.out(layer)(z.flatten(-2)[None])
        normed: Tensor = norm(self.blocks[layer], self.names.after_heads, together)[0]
        return normed

    def mlp(self, layer: int, stream: Tensor) -> Tensor:
        """What an MLP writes, from the stream that it reads."""
        block = self.blocks[layer]
        read, module = norm(block, self.names.before_mlp, stream[None]), getattr(block, self.names.mlp)
        if self.model.hf.config.model_type in ("bloom", "mpt"):
            # They add what they are given; of nothing, so that what comes out is the MLP's own.
            added: Tensor = module(read, torch.zeros_like(read))[0]
            return added
        out = module(read)
        normed: Tensor = norm(block, self.names.after_mlp, out[0] if isinstance(out, tuple) else out)[0]
        return normed

    def logits(self, stream: Tensor) -> Tensor:
        """Final logits from the stream after the last block, by a pass whose final norm reads it."""
        final = self.model.hf.get_submodule(self.names.final)
        return self.run([final.register_forward_pre_hook(lambda module, args: stream[None])])


def _puts_out(module: Any, output: Tensor) -> Any:
    """A hook by which a module puts out this."""
    return module.register_forward_hook(lambda module, args, result: output)


class PlainWithin:
    """A circuit within the model on one prompt, node by node: what heads write adds up before a norm after them.

    prompt: its number, for constants of its own; edges: pruned.
    """

    def __init__(
        self, model: Model, tokens: Sequence[int], prompt: int, edges: Collection[Edge], absent: Constants
    ) -> None:
        self.plain = plain = Plain(model, tokens)
        self.edges = {(edge.source, edge.reader, edge.input) for edge in edges}
        self.since = absent.since if isinstance(absent.since, int) else absent.since[prompt]
        self.prompt, shape = prompt, model.shape
        self.model, self.clean = model, {INPUT: plain.input()}
        self._run_clean()
        self.own, self.ablated = {INPUT: self.clean[INPUT]}, {INPUT: self._constant(absent.embed, INPUT)}
        for layer in range(shape.n_layers):
            heads = [head(layer, number) for number in range(shape.n_heads)]
            made = {at: plain.z(layer, at.head, [self.stream(at, name) for name in "qkv"]) for at in heads}
            self.own |= made
            for at in heads:
                self.ablated[at] = self._constant(absent.z[layer, :, :, at.head], at)
            self.own[mlp(layer)] = plain.mlp(layer, self.stream(mlp(layer)))
            self.ablated[mlp(layer)] = self._constant(absent.mlp_out[layer], mlp(layer))

    def logits(self) -> Tensor:
        return self.plain.logits(self.stream(LOGITS))

    def _run_clean(self) -> None:
        """Every output of the model itself."""
        stream, plain = self.clean[INPUT], self.plain
        for layer, z in enumerate(plain.every_z()):
            self.clean |= {head(layer, number): of_one for number, of_one in enumerate(z.unbind(1))}
            mid = stream + plain.written(layer, z)
            self.clean[mlp(layer)] = plain.mlp(layer, stream if plain.names.parallel else mid)
            stream = mid + self.clean[mlp(layer)]

    def _constant(self, values: Tensor, of: Node) -> Tensor:
        """[prompt, position, width] at this prompt: before it says anything, what the model itself puts out."""
        clean = self.clean[of]
        new = values[self.prompt if len(values) > 1 else 0].to(clean)
        new = new.expand(len(clean), -1) if len(new) == 1 else new[: len(clean)]
        return torch.cat([clean[: self.since], new[self.since :]])

    def stream(self, reader: Node, by: str | None = None) -> Tensor:
        """What a reader reads: of every output before it the circuit's own, or the ablated one."""

        def output(source: Node) -> Tensor:
            return (self.own if (source, reader, by) in self.edges else self.ablated)[source]

        total, shape = output(INPUT), self.model.shape
        below = shape.n_layers if reader == LOGITS else reader.layer
        of_mlp = reader != LOGITS and reader == node(f"m{reader.layer}") and not self.plain.names.parallel
        for layer in range(below + of_mlp):
            z = torch.stack([output(head(layer, number)) for number in range(shape.n_heads)], dim=1)
            total = total + self.plain.written(layer, z)
            if layer < below:
                total = total + output(mlp(layer))
        return total


def slow_gradient(
    plain: Plain, resid: Tensor, reader: Node, by: str | None, value: Callable[[Tensor], Tensor]
) -> Tensor:
    """d value / d (the stream that one reader reads), of a run from the stream `resid` that enters the first block.

    [position, d_model]. value: a number made of the final logits.
    """
    shape, names = plain.model.shape, plain.names
    start = plain.blocks[0].register_forward_pre_hook(lambda module, args: (resid[None], *args[1:]))
    seen: dict[str, Tensor] = {}
    if reader == LOGITS:
        final = plain.model.hf.get_submodule(names.final)

        def copied(module: Any, args: Any) -> tuple[Tensor]:
            seen["x"] = args[0].clone().requires_grad_()
            return (seen["x"],)

        result = value(plain.run([start, final.register_forward_pre_hook(copied)]))
        return torch.autograd.grad(result, seen["x"])[0][0]
    block = plain.blocks[reader.layer]
    if reader.kind.name == "mlp":
        module = getattr(block, names.mlp)

        def read(module: Any, args: Any) -> None:
            seen["stream"] = args[0]

        def leaf(module: Any, args: Any) -> tuple[Any, ...]:
            # What the MLP reads, once more, of a stream that it alone reads.
            seen["x"] = seen["stream"].detach().requires_grad_()
            return (norm(block, names.before_mlp, seen["x"]), *args[1:])

        # The stream before the MLP: what its norm reads, or itself where there is no norm.
        before = getattr(block, names.before_mlp) if names.before_mlp else module
        handles = [start, before.register_forward_pre_hook(read), module.register_forward_pre_hook(leaf)]
        result = value(plain.run(handles))
        return torch.autograd.grad(result, seen["x"])[0][0]

    own = slice(reader.head * shape.d_head, (reader.head + 1) * shape.d_head)

    def keep_stream(module: Any, args: Any) -> None:
        seen["stream"] = args[0]

    def leaf_z(module: Any, args: Any) -> tuple[Tensor, ...]:
        seen["z"] = args[0].detach().requires_grad_()
        return (seen["z"], *args[1:])

    out = plain.out(reader.layer)
    handles = [start, block.register_forward_pre_hook(keep_stream), out.register_forward_pre_hook(leaf_z)]
    at_z = torch.autograd.grad(value(plain.run(handles)), seen["z"])[0][0, :, own]
    stream = seen["stream"][0].detach()
    streams = [stream.clone().requires_grad_() if name == by else stream for name in "qkv"]
    z = plain.z(reader.layer, reader.head, streams)
    return torch.autograd.grad(z, streams["qkv".index(str(by))], at_z)[0]
