"""The configuration that a GGUF file describes.

transformers' own reader takes a handful of the file's keys, and the tensors that its model has a place for; it silently
drops the rest. So the configuration is made here: every key of the architecture and every tensor is carried over, known
to change nothing, or refused by name. What a key means, and what its absence means, follows llama.cpp
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and src/llama-model.cpp in llama.cpp).
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import transformers

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import first_line, quiet_transformers
from vitro.models.errors import ModelError
from vitro.models.gguf_header import ROPE_FREQS, Header, refusal

_ROTARY = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_LEARNED = {
    "context_length": "n_positions",
    "block_count": "n_layer",
    "embedding_length": "n_embd",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
# Architecture -> its keys that have a field in the configuration. A file must have them all: transformers' default for
# a missing key belongs to another model.
_CARRIED = {"llama": _ROTARY, "qwen2": _ROTARY, "gpt2": _LEARNED}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "embedding_scale": (1.0,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "final_logit_softcapping": (0.0,),
    "logit_scale": (1.0,),
    "residual_scale": (1.0,),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.finetuned": (True, False),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0,),
    "tensor_data_layout": ("Meta AI original pth",),
    "use_parallel_residual": (False,),
}
"""Keys for which no configuration has a field, with the values at which they change nothing."""
_ROPE = (
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "attention.key_length",
    "attention.value_length",
    "attention.scale",
)
_WINDOW = "attention.sliding_window"
_SIZES = ("block_count", "head_count", "head_count_kv", "_length", "dimension_count")
"""How the names of keys end that are whole numbers."""
_LINEAR = r"(attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down)"
_BLOCK = r"blk\.([0-9]{1,9})\."
_TENSORS = {
    "llama": (
        r"(token_embd|output|output_norm|rope_freqs)\.weight",
        rf"{_BLOCK}((attn_norm|ffn_norm)\.weight|{_LINEAR}\.(weight|bias))",
    ),
    "qwen2": (
        r"(token_embd|output|output_norm)\.weight",
        rf"{_BLOCK}((attn_norm|ffn_norm|{_LINEAR})\.weight|(attn_q|attn_k|attn_v)\.bias)",
    ),
    "gpt2": (
        r"(token_embd|position_embd|output)\.weight|output_norm\.(weight|bias)",
        rf"{_BLOCK}(attn_norm|attn_qkv|attn_output|ffn_norm|ffn_up|ffn_down)\.(weight|bias)",
    ),
}
"""Architecture -> patterns of its tensors: of the whole model, and of each block."""
_FLOAT32 = 0
_MOST = 2**63
"""Beyond it torch knows no size, and no model has one."""


def config_of(checkpoint: Checkpoint, header: Header) -> Any:
    """The configuration that a GGUF file describes. Raises ModelError, by name, for what none can express."""
    architecture, described = header.architecture, header.describing()
    if architecture not in _CARRIED:
        raise refusal(
            checkpoint,
            f"holds a model of the architecture {architecture[:60]!r}; what works: GGUF files of "
            f"{', '.join(_CARRIED)}, or the model as safetensors",
        )
    if (kind := header.keys.get("general.type", "model")) != "model":
        raise refusal(checkpoint, f"holds no model but a thing of the type {_short(kind)}")
    carried = _CARRIED[architecture]
    _check_kinds(checkpoint, header)
    _check_tensors(checkpoint, header)
    _check_keys(checkpoint, header)
    fields = {field: described[key] for key, field in carried.items()}
    fields["vocab_size"] = header.tensors["token_embd.weight"].shape[0]
    fields["tie_word_embeddings"] = "output.weight" not in header.tensors
    for token in ("bos", "eos"):
        fields[f"{token}_token_id"] = header.keys.get(f"tokenizer.ggml.{token}_token_id")
    if architecture != "gpt2":
        fields |= _rotation(checkpoint, header)
    if architecture == "llama":
        biased = {name.split(".")[2] for name in header.tensors if name.endswith(".bias")}
        fields["attention_bias"] = any(part.startswith("attn") for part in biased)
        fields["mlp_bias"] = any(part.startswith("ffn") for part in biased)
    try:
        with quiet_transformers():
            return transformers.AutoConfig.for_model(architecture, **fields)
    except Exception as error:  # of many classes: huggingface_hub's own, ValueError, TypeError
        raise refusal(checkpoint, f"describes no model ({first_line(error)})") from error


def _check_kinds(checkpoint: Checkpoint, header: Header) -> None:
    """Raises ModelError where a key that is used is missing, or is not of the kind that its meaning asks for."""
    architecture, described = header.architecture, header.describing()
    for key in (*_CARRIED[architecture], *_ROPE, _WINDOW):
        value: Any = described.get(key)
        if key.endswith(_SIZES):
            kind, sound = "a whole number above 0", type(value) is int and 0 < value < _MOST
        elif key == "rope.scaling.type":
            kind, sound = "a word", isinstance(value, str)
        else:
            kind, sound = "a number", type(value) in (int, float) and math.isfinite(value)
        if not sound and (key in described or key in _CARRIED[architecture]):
            found = f"it is {_short(value)}" if key in described else "it is not there"
            raise refusal(checkpoint, f"describes no model: {architecture}.{key} must be {kind}, and {found}")


def _check_tensors(checkpoint: Checkpoint, header: Header) -> None:
    """Raises ModelError where the tensors are not those of as many blocks, and as wide, as the keys say."""
    architecture, described = header.architecture, header.describing()
    whole, block = (re.compile(pattern) for pattern in _TENSORS[architecture])
    strange, blocks = [], set()
    for name in header.tensors:
        match = block.fullmatch(name)
        if match is not None and int(match[1]) < described["block_count"]:
            blocks.add(int(match[1]))
        elif not whole.fullmatch(name):
            strange.append(name)
    if strange:
        raise refusal(
            checkpoint,
            f"holds {len(strange)} tensors that a {architecture} model has no place for "
            f"({', '.join(map(_short, strange[:3]))}); without them it would be another model",
        )
    if "token_embd.weight" not in header.tensors:
        raise refusal(checkpoint, "holds no token_embd.weight, the embedding of its tokens")
    embedding = header.tensors["token_embd.weight"].shape
    for key, size in {"block_count": len(blocks), "embedding_length": embedding[-1]}.items():
        if described[key] != size:
            raise refusal(
                checkpoint,
                f"says {architecture}.{key} = {described[key]}, and holds the tensors of a model in which it is {size}",
            )
    n_tokens = header.keys.get("tokenizer.ggml.tokens", 0)
    if len(embedding) != 2 or not isinstance(n_tokens, int) or n_tokens > embedding[0]:
        raise refusal(
            checkpoint, f"lists {_short(n_tokens)} tokens, and holds token_embd.weight with the shape {embedding}"
        )


def _check_keys(checkpoint: Checkpoint, header: Header) -> None:
    """Raises ModelError for a key that is neither carried over nor without effect."""
    architecture, described = header.architecture, header.describing()
    same = {
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        "attention.head_count_kv": described.get("attention.head_count"),
    }
    window = described.pop(_WINDOW, 0)
    # A window as wide as the longest prompt hides nothing.
    if 0 < window < described["context_length"]:
        raise _not_carried(checkpoint, f"{architecture}.{_WINDOW}", window)
    for key, value in described.items():
        used = key in _CARRIED[architecture] or (key in _ROPE and architecture != "gpt2")
        if not used and value not in _NEUTRAL.get(key, (same.get(key),)):
            raise _not_carried(checkpoint, f"{architecture}.{key}", value)


def _rotation(checkpoint: Checkpoint, header: Header) -> dict[str, Any]:
    """The rotation: width of heads, frequencies, scaling. Raises ModelError where the model cannot rotate so."""
    architecture, described = header.architecture, header.describing()
    width = described.get("attention.key_length", described["embedding_length"] // described["attention.head_count"])
    for key in ("attention.value_length", "rope.dimension_count"):
        if described.get(key, width) != width:
            raise _not_carried(checkpoint, f"{architecture}.{key}", described[key])
    scale = described.get("attention.scale", 0.0)
    if scale and abs(scale - width**-0.5) > 1e-6:
        raise _not_carried(checkpoint, f"{architecture}.attention.scale", scale)
    freqs = header.tensors.get(ROPE_FREQS)
    if freqs is not None and (freqs.shape, freqs.kind) != ((width // 2,), _FLOAT32):
        raise _not_carried(checkpoint, ROPE_FREQS, f"a tensor of shape {freqs.shape} and ggml type {freqs.kind}")
    theta = {"rope_theta": described.get("rope.freq_base", 10000.0)}
    return {"head_dim": width, "rope_parameters": theta | _scaling(checkpoint, header, described)}


def _scaling(checkpoint: Checkpoint, header: Header, described: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling of the rotation, in transformers' fields."""
    # llama.cpp takes 0 as "not given", and linear where there is a factor but no type.
    factor = described.get("rope.scaling.factor") or described.get("rope.scale_linear") or 1.0
    kind = described.get("rope.scaling.type", "linear")
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return {"rope_type": "default"}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn" and factor >= 1.0 and ROPE_FREQS not in header.tensors:
        return {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": described.get(
                "rope.scaling.original_context_length", described["context_length"]
            ),
            "beta_fast": described.get("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": described.get("rope.scaling.yarn_beta_slow", 1.0),
        }
    raise _not_carried(checkpoint, f"{header.architecture}.rope.scaling.type", f"{kind} (factor {factor:g})")


def divide_frequencies(header: Header, hf: Any) -> None:
    """Divide a loaded model's frequencies by the file's `rope_freqs`, as llama.cpp does."""
    freqs = header.rope_freqs()
    if freqs is not None:
        rotary = hf.model.rotary_emb
        for name in ("inv_freq", "original_inv_freq"):
            getattr(rotary, name).div_(freqs)


def _not_carried(checkpoint: Checkpoint, key: str, value: Any) -> ModelError:
    return refusal(
        checkpoint, f"says {key} = {_short(value)}, which is not carried into the model; take its safetensors"
    )


def _short(value: Any) -> str:
    """A value as an error shows it."""
    return str(value)[:60]
