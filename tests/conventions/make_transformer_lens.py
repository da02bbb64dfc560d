"""Writes transformer_lens/*.safetensors: small random models, and what TransformerLens 4.3 makes of them.

    .venv-peers/bin/python tests/conventions/make_transformer_lens.py

Its environment is that of `make bench`'s peers. Every model's biases, those of its norms among them, are far from zero.
A file holds the weights (`weights.*`), the prompts, and for `folded` (TransformerLens' default processing: fold_ln,
center_writing_weights, center_unembed, fold_value_biases) and `raw` (none of it) what is named in `values`; and, of the
raw model, the activations that a run caches of the first prompts (`cache.*`), by TransformerLens' own names.
"""

import copy
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

OUT = Path(__file__).parent / "transformer_lens"
TOKENS = {"vocab_size": 14, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": False}
SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 16, "n_inner": 24, "n_positions": 16},
    "gpt_neox": {"model_type": "gpt_neox", **SIZES},
    "llama": {"model_type": "llama", **SIZES, "num_key_value_heads": 2},
    "qwen2": {"model_type": "qwen2", **SIZES, "num_key_value_heads": 2},
}
NONE = torch.zeros(16)
WORDS = [5, 8, 9, 10, 11, 12, 13]
PROMPTS = [[1, 2, 3, 4, day, 6, 7, 4] for day in WORDS]
CACHED = 2
"""Of so many prompts."""
SUBJECT = 4
"""The prompts of the day task in the tokens of a tokenizer of its words, and where the day stands in them."""


def random_checkpoint(config: dict[str, Any]) -> Any:
    """Every weight random, and large enough that attention is far from uniform."""
    said = dict(config)
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(said.pop("model_type"), **said, **TOKENS))
    hf.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        norm_weight = ("norm" in name or "ln_" in name) and "weight" in name
        weight.copy_(1.0 + 0.2 * noise if norm_weight else 0.4 * noise)
    return hf


def bridge_of(hf: Any, tokenizer: Any, *, no_processing: bool) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers("local", hf_model=copy.deepcopy(hf), tokenizer=tokenizer, device="cpu")
    bridge.enable_compatibility_mode(disable_warnings=True, no_processing=no_processing)
    return bridge


def put(value: Tensor) -> Any:
    """A hook that puts this in an activation's place."""
    return lambda activation, hook: value.expand_as(activation).clone()


def read_out(bridge: Any, vectors: Tensor) -> Tensor:
    """TransformerLens' own final norm and unembedding of vectors of the stream, [row, d_model] to [row, d_vocab]."""
    last = bridge.cfg.n_layers - 1
    tokens = torch.zeros(len(vectors), 1, dtype=torch.long)
    logits: Tensor = bridge.run_with_hooks(
        tokens, fwd_hooks=[(f"blocks.{last}.hook_resid_post", put(vectors[:, None]))]
    )
    return logits[:, -1]


def w_out(bridge: Any, layer: int) -> Tensor:
    weight: Tensor = bridge.blocks[layer].attn.W_O
    return weight


def head_results(bridge: Any, layer: int, tokens: Tensor, hooks: list[Any]) -> Tensor:
    """What every head writes to the final stream, b_O apart (`hook_result`): [head, prompt, d_model]."""
    seen: dict[str, Tensor] = {}

    def keep(z: Tensor, hook: Any) -> None:
        seen["z"] = z[:, -1].detach().clone()

    bridge.run_with_hooks(tokens, fwd_hooks=[*hooks, (f"blocks.{layer}.attn.hook_z", keep)])
    return torch.einsum("phd,hdm->hpm", seen["z"], w_out(bridge, layer))


def zero_ablated(bridge: Any, layer: int, head: int, tokens: Tensor) -> Tensor:
    def zero(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        z[:, :, head] = 0.0
        return z

    logits: Tensor = bridge.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", zero)])
    return logits[:, -1]


def first_mlp_on_the_embedding(bridge: Any, tokens: Tensor, *, positions: bool) -> Tensor:
    """`embed + m0`, [prompt, position, d_model]: block 0 with its attention's output at zero."""
    seen: dict[str, Tensor] = {}

    def keep(resid: Tensor, hook: Any) -> None:
        seen["resid"] = resid.detach().clone()

    hooks = [("blocks.0.hook_attn_out", put(torch.zeros(1))), ("blocks.0.hook_resid_post", keep)]
    if not positions and hasattr(bridge, "pos_embed"):
        hooks.append(("hook_pos_embed", put(torch.zeros(1))))
    bridge.run_with_hooks(tokens, fwd_hooks=hooks)
    return seen["resid"]


def values(bridge: Any) -> dict[str, Tensor]:
    tokens, words = torch.tensor(PROMPTS), torch.tensor(WORDS)[:, None]
    layers, heads = range(bridge.cfg.n_layers), range(bridge.cfg.n_heads)
    results = torch.stack([head_results(bridge, layer, tokens, []) for layer in layers])
    inside = first_mlp_on_the_embedding(bridge, tokens, positions=True)
    alone = first_mlp_on_the_embedding(bridge, words, positions=False)

    def pinned(pattern: Tensor, hook: Any) -> Tensor:
        pattern = pattern.clone()
        pattern[:, :, -1] = 0.0
        pattern[:, :, -1, SUBJECT] = 1.0
        return pattern

    hooks = [("blocks.1.hook_resid_pre", put(inside)), ("blocks.1.attn.hook_pattern", pinned)]
    wired = head_results(bridge, 1, tokens, hooks)
    b_out = torch.stack([b_o if (b_o := bridge.blocks[layer].attn.b_O) is not None else NONE for layer in layers])
    said = [head_results(bridge, layer, words, [(f"blocks.{layer}.hook_resid_pre", put(alone))]) for layer in layers]
    return {
        # [prompt, d_vocab], the model itself; the same with each head's hook_z at zero: [layer, head, prompt, d_vocab].
        "logits": bridge(tokens)[:, -1],
        "zero_ablated": torch.stack(
            [torch.stack([zero_ablated(bridge, layer, head, tokens) for head in heads]) for layer in layers]
        ),
        # hook_result at the final stream, [layer, head, prompt, d_model], and its logit lens.
        "result": results,
        "lens": read_out(bridge, results.flatten(0, 2)).unflatten(0, results.shape[:3]),
        # [layer, d_model]
        "b_O": b_out,
        # [d_model, d_vocab]
        "W_U": bridge.W_U,
        # input -> m0; input, m0 -> a1.hH[subject]; a1.hH, b1 -> logits: [head, prompt, d_vocab].
        "circuit": read_out(bridge, (wired + b_out[1]).flatten(0, 1)).unflatten(0, wired.shape[:2]),
        # What every head makes of embed + m0 of each word, without b_O, read out: [layer, head, word, d_vocab].
        "successor": torch.stack(
            [read_out(bridge, one.flatten(0, 1)).unflatten(0, one.shape[:2]) for one in said],
        ),
    }


def cached(bridge: Any) -> dict[str, Tensor]:
    """The activations of a run that HookedTransformer has too, and all of the final norm."""
    _, cache = bridge.run_with_cache(torch.tensor(PROMPTS[:CACHED]))
    name = re.compile(r"hook_(pos_)?embed|blocks\.\d+\.(attn\.)?hook_(?!in|out|hidden_states|cos|sin)\w+|ln_final\.\w+")
    return {key: cache[key] for key in cache if name.fullmatch(key)}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        words = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
        PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<unk>", unk_token="<unk>").save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for name, config in CONFIGS.items():
            hf = random_checkpoint(config)
            found = {f"weights.{key}": weight for key, weight in hf.state_dict().items()}
            found["prompts"] = torch.tensor(PROMPTS)
            for kind, no_processing in (("folded", False), ("raw", True)):
                bridge = bridge_of(hf, tokenizer, no_processing=no_processing)
                found |= {f"{kind}.{key}": value for key, value in values(bridge).items()}
            # The last of the two is the raw one.
            found |= {f"cache.{name}": value for name, value in cached(bridge).items()}
            mine = {key: value.detach().clone().contiguous() for key, value in found.items()}
            save_file(mine, OUT / f"{name}.safetensors", metadata={"config": json.dumps({**config, **TOKENS})})


if __name__ == "__main__":
    main()
