"""Edges scored by EAP-IG, and circuits run within the model, by EAP-IG's own code and by plain hooks on transformers.

What peers.py runs for the kinds `scores` and `circuits`, of GPT-2 alone. Besides `tokens` and `answers` their job has

- `counterfactuals` int64 [prompt, position]: the partner of each prompt;
- `edges` int64 [edge, 2]: the source's row and the reader's column, as in EAP-IG's matrices. Sources: the input, then
  each layer's heads and MLP. Readers: each layer's heads by q, by k, by v, and its MLP; at the end the logits;
- `masks` bool [circuit, edge] (circuits): the edges that a circuit has;
- `variants` int64 [variant, 1]: the number of the circuit (circuits), or 0 (scores).

The result's `logits` are [variant, prompt] for circuits, each prompt's answer logit, and [1, edge] for scores: EAP-IG's
in five steps from the counterfactual on, of the answer's logit minus that of the token 100 after it.
"""

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

STEPS = 5
OTHER = 100
"""How far after the answer's token the one is that it is compared with."""

Work = Callable[[Any, Tensor, int], Tensor]
"""A job, the variants that are wanted, prompts per pass -> the result's `logits`."""


@contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Plain:
    """GPT-2 of transformers, with what every source writes and every reader reads."""

    def __init__(self, model: Any) -> None:
        self.model, self.body = model, model.transformer
        config = model.config
        self.n_layers, self.n_heads, self.width = config.n_layer, config.n_head, config.n_embd
        self.n_sources = 1 + self.n_layers * (self.n_heads + 1)
        self.readers = 3 * self.n_heads + 1

    def heads_of(self, layer: int) -> slice:
        """A layer's heads among the sources; its MLP comes right after them."""
        first = 1 + layer * (self.n_heads + 1)
        return slice(first, first + self.n_heads)

    def writing(self, into: Tensor) -> list[Any]:
        """Hooks that keep what each source writes: into [source, prompt, position, d_model]."""
        handles = [self.body.drop.register_forward_hook(lambda _, args, out: into[0].copy_(out.detach()))]
        for layer, block in enumerate(self.body.h):
            mine, w_out = self.heads_of(layer), block.attn.c_proj.weight.view(self.n_heads, -1, self.width)

            def heads(_: Any, args: tuple[Tensor], mine: slice = mine, w_out: Tensor = w_out) -> None:
                z = args[0].detach().unflatten(-1, (self.n_heads, -1)).permute(2, 0, 1, 3)
                torch.matmul(z.flatten(1, 2), w_out, out=into[mine].flatten(1, 2))

            def mlp(_: Any, args: tuple[Tensor], out: Tensor, place: int = mine.stop) -> None:
                into[place] = out.detach()

            handles += [block.attn.c_proj.register_forward_pre_hook(heads), block.mlp.register_forward_hook(mlp)]
        return handles

    @torch.no_grad()
    def written(self, tokens: Tensor) -> Tensor:
        into = torch.empty(self.n_sources, *tokens.shape, self.width)
        with hooked(self.writing(into)):
            self.body(tokens, use_cache=False)
        return into


def scores(model: Any) -> Work:
    """EAP-IG: a forward and a backward pass for each step, and a product for each layer's readers."""
    plain = Plain(model)

    def work(job: Any, chosen: Tensor, per_pass: int) -> Tensor:
        found = torch.zeros(plain.n_sources, plain.n_layers * plain.readers + 1)
        for start in range(0, len(job.tokens), per_pass):
            part = slice(start, start + per_pass)
            tokens, answers = job.tokens[part], job.answers[part]
            change = plain.written(job.counterfactuals[part]) - plain.written(tokens)
            clean, other = plain.body.wte(tokens), plain.body.wte(job.counterfactuals[part])
            for step in range(STEPS):
                embedded = other + (step / STEPS) * (clean - other)
                _add_step(plain, job.passed, embedded.requires_grad_(), answers, change, found)
        source, reader = job.edges.T
        return (found[source, reader] / (len(job.tokens) * STEPS))[None]

    return work


def _add_step(
    plain: Plain, passed: dict[str, Any], embedded: Tensor, answers: Tensor, change: Tensor, found: Tensor
) -> None:
    """Add one step's products of change [source, prompt, position, d_model] and gradient to found [source, reader]."""
    streams: list[Tensor] = []
    gradients: dict[tuple[str, int], Tensor] = {}

    def keep(name: str, layer: int, gradient: Tensor) -> None:
        gradients[name, layer] = gradient

    def own(name: str, layer: int, _: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        """A reader's input as a tensor of its own, whose gradient is kept."""
        read = args[0].clone()
        read.register_hook(partial(keep, name, layer))
        return (read,)

    def keep_stream(_: Any, args: tuple[Tensor]) -> None:
        streams.append(args[0].detach())

    def keep_qkv(layer: int, _: Any, args: Any, out: Tensor) -> None:
        out.register_hook(partial(keep, "qkv", layer))

    handles = []
    for layer, block in enumerate(plain.body.h):
        handles += [
            block.ln_1.register_forward_pre_hook(keep_stream),
            block.attn.c_attn.register_forward_hook(partial(keep_qkv, layer)),
            block.ln_2.register_forward_pre_hook(partial(own, "mlp", layer)),
        ]
    handles.append(plain.body.ln_f.register_forward_pre_hook(partial(own, "logits", 0)))
    with hooked(handles), torch.enable_grad():
        final = plain.model(inputs_embeds=embedded, **passed).logits[:, -1]
        rows = torch.arange(len(answers))
        (final[rows, answers] - final[rows, answers + OTHER]).sum().neg().backward()

    def add(n: int, columns: slice, gradient: Tensor) -> None:
        """gradient: [reader, prompt, position, d_model], of readers of the first n sources."""
        found[:n, columns] += change[:n].flatten(1) @ gradient.flatten(1).T

    for layer in range(plain.n_layers):
        heads, column = plain.heads_of(layer), layer * plain.readers
        add(heads.start, slice(column, column + plain.readers - 1), _of_streams(plain, layer, streams, gradients))
        mlp = gradients["mlp", layer][None]
        add(heads.stop, slice(column + plain.readers - 1, column + plain.readers), mlp)
    add(plain.n_sources, slice(-1, None), gradients["logits", 0][None])


def _of_streams(plain: Plain, layer: int, streams: list[Tensor], gradients: dict[tuple[str, int], Tensor]) -> Tensor:
    """The gradients of the streams that a layer's heads read by q, k and v: [reader, prompt, position, d_model]."""
    block = plain.body.h[layer]
    at_qkv = gradients["qkv", layer].unflatten(-1, (3 * plain.n_heads, -1)).permute(2, 0, 1, 3)
    weight = block.attn.c_attn.weight.unflatten(1, (3 * plain.n_heads, -1)).permute(1, 2, 0)
    stream, norm = streams[layer], block.ln_1
    scale = (stream.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
    normed = (stream - stream.mean(-1, keepdim=True)) * scale
    gradient: Tensor = (at_qkv.flatten(1, 2) @ weight).view(len(weight), *stream.shape).mul_(norm.weight)
    gradient -= gradient.mean(-1, keepdim=True) + normed * (gradient * normed).mean(-1, keepdim=True)
    return gradient.mul_(scale)


def circuits(model: Any) -> Work:
    """A pass for each circuit, in which every reader's stream is changed by what its absent edges carry."""
    plain = Plain(model)

    @torch.inference_mode()
    def work(job: Any, chosen: Tensor, per_pass: int) -> Tensor:
        source, reader = job.edges.T
        logits = torch.empty(len(chosen), len(job.tokens))
        for start in range(0, len(job.tokens), per_pass):
            part = slice(start, start + per_pass)
            other = plain.written(job.counterfactuals[part])
            for row, (circuit,) in enumerate(job.variants[chosen].tolist()):
                absent = torch.zeros(plain.n_sources, plain.n_layers * plain.readers + 1)
                absent[source, reader] = (~job.masks[circuit]).float()
                final = _run_circuit(plain, job.passed, job.tokens[part], other, absent)
                logits[row, part] = final.gather(-1, job.answers[part, None])[:, 0]
        return logits

    return work


def _run_circuit(plain: Plain, passed: dict[str, Any], tokens: Tensor, other: Tensor, absent: Tensor) -> Tensor:
    """The final logits of a circuit within the model. other: what absent edges carry; absent: [source, reader]."""
    now = torch.empty_like(other)
    handles = plain.writing(now)

    def changed(stream: Tensor, n: int, columns: slice) -> Tensor:
        """A stream as some readers of the first n sources read it: [prompt, position, reader, d_model]."""
        change = torch.einsum("spid,sr->pird", other[:n] - now[:n], absent[:n, columns])
        return change.add_(stream[:, :, None])

    streams: list[Tensor] = []
    for layer, block in enumerate(plain.body.h):
        heads, column = plain.heads_of(layer), layer * plain.readers
        qkv, mlp = slice(column, column + plain.readers - 1), slice(column + plain.readers - 1, column + plain.readers)

        def read_qkv(
            module: Any, args: Any, out: Tensor, block: Any = block, n: int = heads.start, qkv: slice = qkv
        ) -> Tensor | None:
            if not absent[:n, qkv].any():
                return None
            norm = block.ln_1
            read = layer_norm(changed(streams[-1], n, qkv), (plain.width,), norm.weight, norm.bias, norm.eps)
            weight = module.weight.unflatten(1, (3 * plain.n_heads, -1))
            made: Tensor = torch.einsum("pird,drk->pirk", read, weight).flatten(-2) + module.bias
            return made

        def read_mlp(_: Any, args: tuple[Tensor], n: int = heads.stop, mlp: slice = mlp) -> tuple[Tensor]:
            return (changed(args[0], n, mlp)[:, :, 0],) if absent[:n, mlp].any() else args

        handles += [
            block.ln_1.register_forward_pre_hook(lambda _, args: streams.append(args[0])),
            block.attn.c_attn.register_forward_hook(read_qkv),
            block.ln_2.register_forward_pre_hook(read_mlp),
        ]
    last = slice(-1, None)
    handles.append(
        plain.body.ln_f.register_forward_pre_hook(lambda _, args: (changed(args[0], plain.n_sources, last)[:, :, 0],))
    )
    with hooked(handles):
        logits: Tensor = plain.model(tokens, **passed).logits[:, -1]
    return logits


def eap_ig(model: Any, kind: str) -> Work:
    """EAP-IG's own `attribute` or `evaluate_graph`, on TransformerLens' model of the same weights, on the CPU."""
    _on_the_cpu()
    from eap.attribute import attribute
    from eap.evaluate import evaluate_graph
    from eap.graph import Graph

    lens = _transformer_lens(model)

    def loss(logits: Tensor, clean: Tensor | None, lengths: Tensor, answers: Tensor) -> Tensor:
        rows = torch.arange(len(answers))
        return (logits[rows, -1, answers] - logits[rows, -1, answers + OTHER]).sum().neg()

    def answer(logits: Tensor, clean: Tensor | None, lengths: Tensor, answers: Tensor) -> Tensor:
        return logits[torch.arange(len(answers)), -1, answers]

    def work(job: Any, chosen: Tensor, per_pass: int) -> Tensor:
        graph = Graph.from_model(lens)
        source, reader = job.edges.T
        parts = [slice(start, start + per_pass) for start in range(0, len(job.tokens), per_pass)]
        batches = [(job.tokens[part], job.counterfactuals[part], job.answers[part]) for part in parts]
        if kind == "scores":
            attribute(lens, graph, batches, loss, "EAP-IG-inputs", ig_steps=STEPS, quiet=True)
            scores: Tensor = graph.scores[source, reader][None]
            return scores
        found = []
        for (circuit,) in job.variants[chosen].tolist():
            graph.reset()
            graph.in_graph[source, reader] = job.masks[circuit]
            found.append(evaluate_graph(lens, graph, batches, answer, quiet=True))
        return torch.stack(found)

    return work


def _transformer_lens(model: Any) -> Any:
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

    config = model.config
    sizes = {
        **{"n_layers": config.n_layer, "n_heads": config.n_head, "d_model": config.n_embd, "n_ctx": config.n_positions},
        **{"d_head": config.n_embd // config.n_head, "d_vocab": config.vocab_size, "eps": config.layer_norm_epsilon},
    }
    lens = HookedTransformer(HookedTransformerConfig(**sizes, act_fn="gelu_new", normalization_type="LN", device="cpu"))
    lens.load_state_dict(convert_gpt2_weights(model, lens.cfg), strict=False)
    lens.unembed.b_U.data.zero_()
    lens.requires_grad_(False)
    lens.set_use_attn_result(True)
    lens.set_use_split_qkv_input(True)
    lens.set_use_hook_mlp_in(True)
    return lens


def _on_the_cpu() -> None:
    """EAP-IG's drawing needs libraries that nothing here does, it reads words, and it asks for a GPU by name."""
    drawing: Any = types.ModuleType("eap.visualization")
    drawing.get_color = drawing.generate_random_color = None
    sys.modules["eap.visualization"] = drawing
    zeros: Callable[..., Tensor] = torch.zeros
    torch.zeros = lambda *size, device=None, **options: zeros(*size, **options)

    def tokenized(model: Any, tokens: Tensor, max_length: int | None = None) -> tuple[Tensor, None, Tensor, int]:
        return tokens, None, torch.full((len(tokens),), tokens.shape[1]), tokens.shape[1]

    import eap.attribute
    import eap.evaluate

    for module in (eap.attribute, eap.evaluate):
        module.tokenize_plus = tokenized


OF_EDGES: dict[tuple[str, str], Callable[[Any], Work]] = {
    ("hf", "scores"): scores,
    ("hf", "circuits"): circuits,
    ("eap_ig", "scores"): lambda model: eap_ig(model, "scores"),
    ("eap_ig", "circuits"): lambda model: eap_ig(model, "circuits"),
}
"""Peer and kind -> what it does."""
