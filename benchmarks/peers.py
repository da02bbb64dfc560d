"""The same sweeps as Vitro's, run by other tools the way a competent user of each would write them.

    python benchmarks/peers.py PEER JOB --repeats 3 [--unembed final] [--limit-variants 24] [--prompts-per-pass 100]

PEER is hf (transformers with hooks), transformer_lens (`run_with_hooks`), nnsight (`trace`) or eap_ig. It imports
nothing of Vitro's and needs only the environment of benchmarks/peers.txt, or eap_ig's own. JOB is a folder:

- `job.json`: {"kind": KIND, "model": FOLDER, "positions": [[4, 5, 6, 7] | null, ...]}. KIND is heads, mlps, pins,
  edges, or one of edge_peers.py. The model's folder is as `save_pretrained` leaves it, relative to JOB. One entry of
  `positions` for each method: the positions at which it replaces anything; null: all. Pins have none.
- `job.safetensors`: `tokens` int64 [prompt, position], `answers` int64 [prompt], `variants` int64 [variant, 3]: layer,
  head (ignored for mlps), and which method's values (heads, mlps) or which position k is looked at (pins); `values.0`,
  `values.1`, ... one for each method: z [layer, position, head, d_head] (heads), or mlp_out [layer, position, d_model].
  Edges (GPT-2 by hf alone): `variants` int64 [variant, 5]: the reader's layer (n_layers: the logits), its head (-1: the
  MLP), which of its inputs (0 q, 1 k, 2 v), the source's layer (-1: the input) and head (-1: the MLP); a cut source is
  taken to write what it does on `counterfactuals` int64 [prompt, position], or, without them, one of three values: the
  embedding [1, position, d_model], z, and mlp_out.

It writes `result-PEER.safetensors` into JOB: `logits` float32 [variant, prompt], each prompt's answer logit at the
final position, and `variants` int64, the rows of the job's `variants` that they are of; and `result-PEER.json`.

What every peer is given: all prompts in one batch, inference mode, no key-value cache, edits made in place, one warm-up
pass. Loading the model is not timed. `--unembed final` gives it transformers' `logits_to_keep=1` too, by which only the
final position is unembedded; a plain call unembeds all.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edge_peers import OF_EDGES, Work

# Nothing here may wait for a model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

Run = Callable[[Tensor, tuple[int, ...]], Tensor]
"""Tokens [prompt, position] and one variant -> the logits at the final position [prompt, d_vocab]."""


@dataclass(frozen=True)
class Job:
    kind: str
    tokens: Tensor
    answers: Tensor
    variants: Tensor
    values: list[Tensor]
    positions: list[Tensor | slice]
    passed: dict[str, Any]
    """Arguments of transformers' forward, which TransformerLens and nnsight hand on."""
    counterfactuals: Tensor | None
    edges: Tensor | None
    masks: Tensor | None


def hf(model: Any, job: Job) -> Run:
    """Plain transformers: a forward (pre-)hook for each variant."""
    parts = Parts(model)

    def heads(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, method = variant
        mine, at, new = parts.head(head), job.positions[method], job.values[method][layer, :, head]

        def replace(module: torch.nn.Module, args: tuple[Tensor]) -> None:
            # transformers makes this tensor for this layer alone, so no copy of it is needed.
            args[0][:, at, mine] = new[at]

        handle = parts.out(layer).register_forward_pre_hook(replace)
        logits: Tensor = model(tokens, **job.passed).logits[:, -1]
        handle.remove()
        return logits

    def mlps(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, _, method = variant
        at, new = job.positions[method], job.values[method][layer]

        def replace(module: torch.nn.Module, args: tuple[Tensor], out: Tensor) -> None:
            out[:, at] = new[at]

        handle = parts.mlp(layer).register_forward_hook(replace)
        logits: Tensor = model(tokens, **job.passed).logits[:, -1]
        handle.remove()
        return logits

    def pins(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, k = variant
        mine, value = parts.head(head), parts.value(head)
        seen: list[Tensor] = []

        def remember(module: torch.nn.Module, args: tuple[Tensor], out: Tensor) -> None:
            seen.append(out[:, k, value])

        def replace(module: torch.nn.Module, args: tuple[Tensor]) -> None:
            # A row of attention that is 1 at k mixes the value of k alone. So the fast kernel (SDPA), which never
            # writes the pattern out, can stay: to edit the pattern itself, attention would have to be "eager".
            args[0][:, -1, mine] = seen[0]

        handles = (
            parts.qkv(layer).register_forward_hook(remember),
            parts.out(layer).register_forward_pre_hook(replace),
        )
        logits: Tensor = model(tokens, **job.passed).logits[:, -1]
        for handle in handles:
            handle.remove()
        return logits

    streams = Streams(model, job.tokens) if job.kind == "edges" else None
    other = None if job.counterfactuals is None else Streams(model, job.counterfactuals)

    def edges(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, which, *source = variant
        assert streams is not None
        change = streams.change(job, *source) if other is None else other.out(*source) - streams.out(*source)
        body = model.transformer
        if layer == len(body.h):
            handle = body.ln_f.register_forward_pre_hook(lambda module, args: (args[0] + change,))
        elif head < 0:
            read = body.h[layer].ln_2(streams.mid[layer] + change)
            handle = body.h[layer].mlp.register_forward_pre_hook(lambda module, args: (read,))
        else:
            made, mine = parts.qkv(layer), parts.head(which * parts.n_heads + head)
            new = body.h[layer].ln_1(streams.pre[layer] + change) @ made.weight[:, mine] + made.bias[mine]

            def replace(module: torch.nn.Module, args: tuple[Tensor], out: Tensor) -> None:
                out[..., mine] = new

            handle = made.register_forward_hook(replace)
        logits: Tensor = model(tokens, **job.passed).logits[:, -1]
        handle.remove()
        return logits

    return {"heads": heads, "mlps": mlps, "pins": pins, "edges": edges}[job.kind]


class Streams:
    """A plain pass of GPT-2 over all prompts, remembered, and what a source writes or would write differently."""

    @torch.inference_mode()
    def __init__(self, model: Any, tokens: Tensor) -> None:
        self.parts = Parts(model)
        self.pre: list[Tensor] = []
        self.mid: list[Tensor] = []
        self.z: list[Tensor] = []
        self.mlp: list[Tensor] = []
        handles = []
        for block in model.transformer.h:
            for module, seen in ((block.ln_1, self.pre), (block.ln_2, self.mid), (block.attn.c_proj, self.z)):
                handles.append(
                    module.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0].clone()))
                )
            handles.append(block.mlp.register_forward_hook(lambda _, args, out: self.mlp.append(out.clone())))
        model(tokens, use_cache=False)
        for handle in handles:
            handle.remove()

    def out(self, layer: int, head: int) -> Tensor:
        """[prompt, position, d_model]; a head's without the bias."""
        if layer < 0:
            return self.pre[0]
        if head < 0:
            return self.mlp[layer]
        mine = self.parts.head(head)
        out: Tensor = self.z[layer][..., mine] @ self.parts.out(layer).weight[mine]
        return out

    def change(self, job: Job, layer: int, head: int) -> Tensor:
        """[prompt, position, d_model]: the job's value minus what is written."""
        embed, z, mlp = job.values
        if layer < 0:
            change = embed[0] - self.pre[0]
        elif head < 0:
            change = mlp[layer] - self.mlp[layer]
        else:
            mine = self.parts.head(head)
            change = (z[layer, :, head] - self.z[layer][..., mine]) @ self.parts.out(layer).weight[mine]
        kept = torch.zeros_like(change)
        kept[:, job.positions[0]] = change[:, job.positions[0]]
        return kept


def transformer_lens(model: Any, job: Job) -> Run:
    """TransformerLens 4: a TransformerBridge on the same weights, none of them folded or centred."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        model.config.name_or_path, hf_model=model, tokenizer=wordless_tokenizer(), device="cpu"
    )

    def heads(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, method = variant
        at, new = job.positions[method], job.values[method][layer, :, head]

        def replace(z: Tensor, hook: Any) -> Tensor:
            z[:, at, head] = new[at]
            return z

        logits: Tensor = bridge.run_with_hooks(
            tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", replace)], **job.passed
        )
        return logits[:, -1]

    def mlps(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, _, method = variant
        at, new = job.positions[method], job.values[method][layer]

        def replace(out: Tensor, hook: Any) -> Tensor:
            out[:, at] = new[at]
            return out

        logits: Tensor = bridge.run_with_hooks(
            tokens, fwd_hooks=[(f"blocks.{layer}.hook_mlp_out", replace)], **job.passed
        )
        return logits[:, -1]

    def pins(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, k = variant

        def replace(pattern: Tensor, hook: Any) -> Tensor:
            pattern[:, head, -1] = 0
            pattern[:, head, -1, k] = 1
            return pattern

        hooks = [(f"blocks.{layer}.attn.hook_pattern", replace)]
        logits: Tensor = bridge.run_with_hooks(tokens, fwd_hooks=hooks, **job.passed)
        return logits[:, -1]

    return {"heads": heads, "mlps": mlps, "pins": pins}[job.kind]


def nnsight(model: Any, job: Job) -> Run:
    """nnsight: one trace for each variant, each at its own line, whose compiled block nnsight keeps."""
    from nnsight import NNsight

    # Tokens are given as they are, so the wrapper without a tokenizer does, and spares the work of padding.
    traced = NNsight(model)
    parts = Parts(traced)
    lm_head = traced.lm_head

    def heads(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, method = variant
        mine, at, new = parts.head(head), job.positions[method], job.values[method][layer, :, head]
        out = parts.out(layer)
        with traced.trace(tokens, **job.passed):
            out.input[:, at, mine] = new[at]
            logits: Tensor = lm_head.output.save()
        return logits[:, -1]

    def mlps(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, _, method = variant
        at, new = job.positions[method], job.values[method][layer]
        mlp = parts.mlp(layer)
        with traced.trace(tokens, **job.passed):
            mlp.output[:, at] = new[at]
            logits: Tensor = lm_head.output.save()
        return logits[:, -1]

    def pins(tokens: Tensor, variant: tuple[int, ...]) -> Tensor:
        layer, head, k = variant
        mine, value = parts.head(head), parts.value(head)
        qkv, out = parts.qkv(layer), parts.out(layer)
        with traced.trace(tokens, **job.passed):
            # As for plain transformers: the pattern is never written out, but this is what pinning it comes to.
            seen = qkv.output[:, k, value]
            out.input[:, -1, mine] = seen
            logits: Tensor = lm_head.output.save()
        return logits[:, -1]

    return {"heads": heads, "mlps": mlps, "pins": pins}[job.kind]


PEERS = {"hf": hf, "transformer_lens": transformer_lens, "nnsight": nnsight}


class Parts:
    """Where GPT-2 and the Llama family keep what the recipes hook; `model` may be wrapped."""

    def __init__(self, model: Any) -> None:
        self.gpt2 = hasattr(model, "transformer")
        self.blocks = model.transformer.h if self.gpt2 else model.model.layers
        config = model.config
        self.n_heads = config.num_attention_heads
        self.d_head = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads

    def out(self, layer: int) -> Any:
        """The attention's output projection; its input is every head's z, side by side."""
        return self.blocks[layer].attn.c_proj if self.gpt2 else self.blocks[layer].self_attn.o_proj

    def qkv(self, layer: int) -> Any:
        """The module that makes the values (and in GPT-2 also the queries and keys)."""
        return self.blocks[layer].attn.c_attn if self.gpt2 else self.blocks[layer].self_attn.v_proj

    def mlp(self, layer: int) -> Any:
        return self.blocks[layer].mlp

    def head(self, head: int) -> slice:
        """A head's place in the output projection's input."""
        return slice(head * self.d_head, (head + 1) * self.d_head)

    def value(self, head: int) -> slice:
        """A head's values' place in the output of `qkv`; grouped heads share theirs."""
        if self.gpt2:
            return self.head(2 * self.n_heads + head)
        config = self.blocks[0].self_attn.config
        return self.head(head * config.num_key_value_heads // self.n_heads)


def wordless_tokenizer() -> Any:
    """TransformerLens asks for a tokenizer, also where only token ids are run; one without BOS it leaves as it is."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<unk>", unk_token="<unk>")


def read_job(folder: Path, unembed: str) -> tuple[Path, Job]:
    said, found = json.loads((folder / "job.json").read_text()), load_file(folder / "job.safetensors")
    positions = said.get("positions", [])
    job = Job(
        kind=said["kind"],
        tokens=found["tokens"],
        answers=found["answers"],
        variants=found["variants"],
        values=[found[f"values.{method}"] for method in range(len(positions))],
        # Positions that are a run are a slice: plain strides, no gathering.
        positions=[as_index(at) for at in positions],
        passed={"use_cache": False, "logits_to_keep": 1 if unembed == "final" else 0},
        counterfactuals=found.get("counterfactuals"),
        edges=found.get("edges"),
        masks=found.get("masks"),
    )
    return folder / said["model"], job


def as_index(at: list[int] | None) -> Tensor | slice:
    if at is None:
        return slice(None)
    return slice(at[0], at[-1] + 1) if at == list(range(at[0], at[-1] + 1)) else torch.tensor(at)


@torch.inference_mode()
def sweep(run: Run, job: Job, chosen: Tensor, prompts_per_pass: int) -> Tensor:
    """The answers' logits [variant, prompt], one full pass for each variant (and each part of the prompts)."""
    logits = torch.empty(len(chosen), len(job.tokens))
    for row, variant in enumerate(job.variants[chosen].tolist()):
        for start in range(0, len(job.tokens), prompts_per_pass):
            part = slice(start, start + prompts_per_pass)
            final = run(job.tokens[part], tuple(variant))
            logits[row, part] = final.gather(-1, job.answers[part, None])[:, 0]
    return logits


def work_of(peer: str, model: Any, job: Job) -> Work:
    if (peer, job.kind) in OF_EDGES:
        return OF_EDGES[peer, job.kind](model)
    run = PEERS[peer](model, job)
    return lambda job, chosen, per_pass: sweep(run, job, chosen, per_pass)


def memory(field: str) -> float:
    """VmRSS (resident now) or VmHWM (its peak since `forget_peak`), in MB; NaN where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), float("nan"))


def forget_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=[*PEERS, "eap_ig"])
    parser.add_argument("job", type=Path)
    parser.add_argument("--repeats", type=int, default=3, help="timed runs")
    parser.add_argument("--limit-variants", type=int, help="time this many variants, drawn uniformly (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of that draw")
    parser.add_argument(
        "--unembed",
        choices=("all", "final"),
        default="all",
        help="positions: all, as a plain call does, or the final one",
    )
    parser.add_argument("--prompts-per-pass", type=int, help="prompts in one batch (default: all)")
    arguments = parser.parse_args()

    from transformers import AutoModelForCausalLM

    folder, job = read_job(arguments.job, arguments.unembed)
    n_variants = len(job.variants)
    drawn = torch.randperm(n_variants, generator=torch.Generator().manual_seed(arguments.seed))
    chosen = drawn[: arguments.limit_variants].sort().values if arguments.limit_variants else torch.arange(n_variants)
    per_pass = arguments.prompts_per_pass or len(job.tokens)

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    work = work_of(arguments.peer, model, job)
    # Weights are mapped from the file: read each once, or the first pass would seem to need their memory.
    for weight in model.parameters():
        weight.sum()
    before = memory("VmRSS")
    forget_peak()
    work(job, chosen[:1], per_pass)
    seconds = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        logits = work(job, chosen, per_pass)
        seconds.append(time.perf_counter() - start)
    peak = memory("VmHWM")

    save_file({"logits": logits, "variants": chosen}, arguments.job / f"result-{arguments.peer}.safetensors")
    result = {
        "peer": arguments.peer,
        "kind": job.kind,
        "seconds": seconds,
        "seconds_per_variant": [second / len(chosen) for second in seconds],
        "variants_timed": len(chosen),
        "variants": n_variants,
        "prompts": len(job.tokens),
        "prompts_per_pass": per_pass,
        "unembed": arguments.unembed,
        "peak_mb_above_model": None if peak != peak else round(peak - before, 1),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "transformer-lens", "nnsight")},
        },
    }
    (arguments.job / f"result-{arguments.peer}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0


def version(package: str) -> str | None:
    """None where it is not installed: `hf` runs without the others."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
