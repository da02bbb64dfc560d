"""The configuration that a GGUF file describes.

transformers' own reader takes a handful of the file's keys, and the tensors that its model has a place for; it silently
drops the rest. So the configuration is made here: every key of the architecture and every tensor is carried over, known
to change nothing, or refused by name. What a key means, and what its absence means, follows llama.cpp
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and src/llama-model.cpp in llama.cpp).
"""

import math
from collections.abc import Mapping
from typing import Any

import transformers

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import first_line, quiet_transformers
from vitro.models.gguf import rotation
from vitro.models.gguf.architectures import ARCHITECTURES, Architecture, architecture_of
from vitro.models.gguf.fields import own_fields
from vitro.models.gguf.header import Header, not_carried, refusal, shortened

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
_WINDOW = "attention.sliding_window"
_SIZES = ("block_count", "head_count", "head_count_kv", "_length", "dimension_count", "expert_count", "used_count")
"""How the names of keys end that are whole numbers."""
_MOST = 2**63
"""Beyond it torch knows no size, and no model has one."""


def config_of(checkpoint: Checkpoint, header: Header) -> Any:
    """The configuration that a GGUF file describes. Raises ModelError, by name, for what none can express."""
    if header.architecture not in ARCHITECTURES:
        raise refusal(
            checkpoint,
            f"holds a model of the architecture {header.architecture[:60]!r}; what works: GGUF files of "
            f"{', '.join(ARCHITECTURES)}, or the model as safetensors",
        )
    if (kind := header.keys.get("general.type", "model")) != "model":
        raise refusal(checkpoint, f"holds no model but a thing of the type {shortened(kind)}")
    architecture, described = architecture_of(header), header.describing()
    _check_kinds(checkpoint, header, architecture)
    _check_tensors(checkpoint, header, architecture)
    _check_keys(checkpoint, header, architecture)
    fields = {field: described[key] for key, field in architecture.keys.items()} | dict(architecture.fixed)
    fields["vocab_size"] = header.tensors["token_embd.weight"].shape[0]
    fields["tie_word_embeddings"] = "output.weight" not in header.tensors
    for token, key in {"bos": "bos", "eos": "eos", "pad": "padding"}.items():
        fields[f"{token}_token_id"] = header.keys.get(f"tokenizer.ggml.{key}_token_id")
    if architecture.rotates:
        fields |= rotation.rotation_of(checkpoint, header, architecture)
    fields |= own_fields(checkpoint, header, architecture.model_type, fields)
    try:
        with quiet_transformers():
            return transformers.AutoConfig.for_model(architecture.model_type, **fields)
    except Exception as error:  # of many classes: huggingface_hub's own, ValueError, TypeError
        raise refusal(checkpoint, f"describes no model ({first_line(error)})") from error


def _check_kinds(checkpoint: Checkpoint, header: Header, architecture: Architecture) -> None:
    """Raises ModelError where a key that is used is missing, or is not of the kind that its meaning asks for."""
    described = header.describing()
    for key in dict.fromkeys((*architecture.keys, *rotation.KEYS, *sorted(architecture.own), _WINDOW)):
        needed, value = key in architecture.keys, described.get(key)
        kind = _kind(key, value)
        if kind is not None and (needed or key in described):
            found = f"it is {shortened(value)}" if key in described else "it is not there"
            raise refusal(checkpoint, f"describes no model: {header.architecture}.{key} must be {kind}, and {found}")


def _kind(key: str, value: Any) -> str | None:
    """What the value of a key must be; None where it is that."""
    if key.endswith("_pattern"):
        return None  # a number or a list, which `fields.py` tells apart
    if key.endswith(_SIZES):
        return None if type(value) is int and 0 < value < _MOST else "a whole number above 0"
    if key == _WINDOW:
        return None if type(value) is int and 0 <= value < _MOST else "a whole number"
    if key == "rope.scaling.type":
        return None if isinstance(value, str) else "a word"
    if key == "use_parallel_residual":
        return None if isinstance(value, bool) else "true or false"
    if key.endswith("softcapping"):
        return None if type(value) in (int, float) and 0 < value < math.inf else "a number above 0"
    return None if type(value) in (int, float) and math.isfinite(value) else "a number"


def _check_tensors(checkpoint: Checkpoint, header: Header, architecture: Architecture) -> None:
    """Raises ModelError where the tensors are not those of as many blocks, and as wide, as the keys say."""
    described = header.describing()
    places = {name: architecture.block_of(name) for name in header.tensors}
    strange = [name for name, block in places.items() if block is None or block >= described["block_count"]]
    if strange:
        raise refusal(
            checkpoint,
            f"holds {len(strange)} tensors that a {header.architecture} model has no place for "
            f"({', '.join(map(shortened, strange[:3]))}); without them it would be another model",
        )
    if "token_embd.weight" not in header.tensors:
        raise refusal(checkpoint, "holds no token_embd.weight, the embedding of its tokens")
    embedding, n_blocks = header.tensors["token_embd.weight"].shape, len(set(places.values()) - {-1})
    sizes = {"block_count": n_blocks, "embedding_length": embedding[-1]}
    if "position_embd.weight" in header.tensors:
        sizes["context_length"] = header.tensors["position_embd.weight"].shape[0]
    for key, size in sizes.items():
        if described[key] != size:
            raise refusal(
                checkpoint,
                f"says {header.architecture}.{key} = {described[key]}, and holds the tensors of a model in which it is "
                f"{size}",
            )
    n_tokens = header.keys.get("tokenizer.ggml.tokens", 0)
    if len(embedding) != 2 or not isinstance(n_tokens, int) or n_tokens > embedding[0]:
        raise refusal(
            checkpoint, f"lists {shortened(n_tokens)} tokens, and holds token_embd.weight with the shape {embedding}"
        )


def _check_keys(checkpoint: Checkpoint, header: Header, architecture: Architecture) -> None:
    """Raises ModelError for a key that is neither carried over nor without effect."""
    described = header.describing()
    same: dict[str, Any] = {"vocab_size": header.tensors["token_embd.weight"].shape[0]}
    same |= {key: described.get(other) for key, other in architecture.same.items()}
    neutral = {**_NEUTRAL, **architecture.neutral}
    used = {*architecture.keys, *architecture.own, *(rotation.KEYS if architecture.rotates else ())}
    for key, value in described.items():
        # A window as wide as the longest prompt hides nothing.
        nothing = key == _WINDOW and not 0 < value < described["context_length"]
        if key not in used and not nothing and value not in neutral.get(key, (same.get(key),)):
            raise not_carried(checkpoint, f"{header.architecture}.{key}", value)


def divide_frequencies(header: Header, hf: Any) -> None:
    """Divide a loaded model's frequencies by the file's `rope_freqs`, as llama.cpp does."""
    freqs = header.rope_freqs()
    if freqs is not None:
        rotary = hf.model.rotary_emb
        for name in ("inv_freq", "original_inv_freq"):
            getattr(rotary, name).div_(freqs)
