"""Fields of a configuration that follow from more than one key of a GGUF file, or from its tensors: by model type."""

from collections.abc import Callable, Mapping
from typing import Any

from vitro.models.checkpoint import Checkpoint
from vitro.models.gguf.architectures import ROPE_FACTORS
from vitro.models.gguf.header import Header, not_carried
from vitro.models.gguf.rotation import FLOAT32, head_width, query_width

_PATTERN = "attention.sliding_window_pattern"


def own_fields(checkpoint: Checkpoint, header: Header, model_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model type that no single key gives.

    fields: those that are known already. Raises ModelError, by name, for a key that the model has no field for.
    """
    made = _FIELDS.get(model_type)
    return made(checkpoint, header, fields) if made else {}


def _llama(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    biased = _biased(header)
    return {
        "attention_bias": any(part.startswith("attn") for part in biased),
        "mlp_bias": any(part.startswith("ffn") for part in biased),
    }


def _gemma2(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    # What llama.cpp takes where the first files of the architecture say nothing.
    described = {
        "attention.sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    } | header.describing()
    return {
        "sliding_window": described["attention.sliding_window"],
        "attn_logit_softcapping": described["attn_logit_softcapping"],
        "final_logit_softcapping": described["final_logit_softcapping"],
        "query_pre_attn_scalar": query_width(header),
        "layer_types": _layer_types(checkpoint, header, 2),
    }


def _gemma3(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    described = header.describing()
    # Layers with a window have frequencies of their own, which are never scaled.
    local = {"rope_type": "default", "rope_theta": described.get("rope.freq_base_swa", 10000.0)}
    return {
        "rope_parameters": {"full_attention": fields["rope_parameters"], "sliding_attention": local},
        "final_logit_softcapping": described.get("final_logit_softcapping"),
        "query_pre_attn_scalar": query_width(header),
        "layer_types": _layer_types(checkpoint, header, 6),
    }


def _gpt_oss(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    described, rope = header.describing(), fields["rope_parameters"]
    if described.get("rope.freq_base_swa", rope["rope_theta"]) != rope["rope_theta"]:
        raise not_carried(checkpoint, "gpt-oss.rope.freq_base_swa", described["rope.freq_base_swa"])
    # No key says so: every model of the kind was trained with bounds that are not rounded to whole frequencies.
    exact = {"truncate": False} if rope["rope_type"] == "yarn" else {}
    return {"rope_parameters": {**rope, **exact}, "layer_types": _layer_types(checkpoint, header, 2)}


def _phi3(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    described, rope = header.describing(), dict(fields["rope_parameters"])
    original = described.get("rope.scaling.original_context_length", described["context_length"])
    tables = [name for name in ROPE_FACTORS if name in header.tensors]
    turned = described.get("rope.dimension_count", head_width(described))
    for name in tables:
        stored = header.tensors[name]
        if (stored.shape, stored.kind) != ((turned // 2,), FLOAT32) or len(tables) != len(ROPE_FACTORS):
            raise not_carried(checkpoint, name, f"a tensor of shape {stored.shape} and ggml type {stored.kind}")
    attention = described.get("rope.scaling.attn_factor", 1.0)
    if tables:
        long, short = (header.vector(name).tolist() for name in ROPE_FACTORS)
        rope |= {"rope_type": "longrope", "long_factor": long, "short_factor": short}
        rope |= {"original_max_position_embeddings": original, "attention_factor": attention}
    elif attention != 1.0:
        raise not_carried(checkpoint, "phi3.rope.scaling.attn_factor", attention)
    return {
        "rope_parameters": rope,
        "original_max_position_embeddings": original,
        # 0 is how the converter writes that there is none.
        "sliding_window": described.get("attention.sliding_window") or None,
    }


def _falcon(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    heads, groups = fields["num_attention_heads"], fields["num_kv_heads"]
    if heads % groups:
        raise not_carried(checkpoint, "falcon.attention.head_count_kv", f"{groups}, with {heads} heads")
    two_norms = any(".attn_norm_2." in name for name in header.tensors)
    new = groups != 1 or two_norms
    return {
        "new_decoder_architecture": new,
        "multi_query": not new,
        "num_ln_in_parallel_attn": (2 if two_norms else 1) if new else None,
    }


def _bloom(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    width = header.describing().get("feed_forward_length", 4 * fields["hidden_size"])
    if width != 4 * fields["hidden_size"]:
        raise not_carried(checkpoint, "bloom.feed_forward_length", width)
    return {}


def _stablelm(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    parallel = not any(".ffn_norm." in name for name in header.tensors)
    if header.describing().get("use_parallel_residual", parallel) != parallel:
        raise not_carried(checkpoint, "stablelm.use_parallel_residual", not parallel)
    return {"use_parallel_residual": parallel, "use_qkv_bias": "attn_q" in _biased(header)}


def _starcoder2(checkpoint: Checkpoint, header: Header, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"use_bias": "attn_q" in _biased(header)}


def _biased(header: Header) -> set[str]:
    """The tensors of blocks that have a bias, without block and kind."""
    return {name.split(".")[2] for name in header.tensors if name.startswith("blk.") and name.endswith(".bias")}


def _layer_types(checkpoint: Checkpoint, header: Header, usual: int) -> list[str]:
    """Which layers have a window: all but the last of every few, or those that a list says.

    usual: of how many the last has none, where the file does not say.
    """
    described = header.describing()
    n_layers, pattern = described["block_count"], described.get(_PATTERN, usual)
    if type(pattern) is int and pattern > 0:
        windows = [layer % pattern < pattern - 1 for layer in range(n_layers)]
    elif isinstance(pattern, list) and len(pattern) == n_layers:
        windows = [bool(window) for window in pattern]
    else:
        raise not_carried(checkpoint, f"{header.architecture}.{_PATTERN}", pattern)
    return ["sliding_attention" if window else "full_attention" for window in windows]


_FIELDS: Mapping[str, Callable[[Checkpoint, Header, Mapping[str, Any]], dict[str, Any]]] = {
    "llama": _llama,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "gpt_oss": _gpt_oss,
    "phi3": _phi3,
    "falcon": _falcon,
    "bloom": _bloom,
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
}
