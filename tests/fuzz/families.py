"""Random models of the families whose specials `families_llama` and `families_gpt` list, in sizes of their own."""

from typing import Any

import families_gpt
import families_llama
from fuzz.draw import Draw
from fuzz.ropes import draw_rope

LISTED = (*families_llama.CONFIGS, *families_gpt.CONFIGS)
_FULL, _SLIDING = "full_attention", "sliding_attention"
_TURNED_IN_PART = ("glm", "glm4", "nemotron", "phi", "phi3", "stablelm")
"""Model types of which a part of each head may be rotated."""

_OF_EACH_KIND = ("gemma3_text", "olmo3")
"""Model types that rotate otherwise in layers that have a window."""
_EXPERTS = {"num_experts", "num_local_experts"}
"""Fields that say of how many experts a mixture is."""
_ALONE = ("falcon",)
"""Model types of which not all specials go together."""


def draw_listed(draw: Draw, model_type: str, n_layers: int, tokens: dict[str, Any]) -> Any:
    """A transformers model of a type. tokens: the fields of its vocabulary."""
    if model_type in families_gpt.CONFIGS:
        return families_gpt.made(model_type, **_like_gpt(draw, model_type, n_layers), **tokens)
    return families_llama.made(model_type, **_like_llama(draw, model_type, n_layers), **tokens)


def _specials(draw: Draw, model_type: str, named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The fields of one or two of a model type's small configurations."""
    fields: dict[str, Any] = {}
    for name in draw.sample(list(named), at_most=1 if model_type in _ALONE else 2):
        fields |= named[name]
    return fields


def _like_llama(draw: Draw, model_type: str, n_layers: int) -> dict[str, Any]:
    named = families_llama.CONFIGS[model_type]
    fields = _specials(draw, model_type, named)
    n_kv_heads, group, d_head = draw.integer(1, 3), draw.integer(1, 3), draw.one_of((4, 6, 8))
    n_heads, longest = n_kv_heads * group, draw.integer(5, 32)
    if _EXPERTS & fields.keys():
        d_head = 8
    given = [families_llama.SIZES | options for options in named.values() if "head_dim" in options]
    # Where no configuration has another width, the heads' add up to the stream's.
    wide = any(one["head_dim"] * one["num_attention_heads"] != one["hidden_size"] for one in given)
    return {
        **fields,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "hidden_size": n_heads * (draw.integer(max(1, -(-4 // n_heads)), 8) if wide else d_head),
        "intermediate_size": draw.integer(4, 40),
        "max_position_embeddings": longest,
        **({"head_dim": d_head} if given else {}),
        **_ropes_of(draw, model_type, fields, longest, d_head),
        **_layers_of(draw, fields, n_layers),
        **_experts_of(draw, fields, n_heads),
    }


def _ropes_of(draw: Draw, model_type: str, fields: dict[str, Any], longest: int, d_head: int) -> dict[str, Any]:
    given = fields.get("rope_parameters", {})
    if "llama_4_scaling_beta" in given:
        grows = {"llama_4_scaling_beta": draw.real(0.1, 2.0), "original_max_position_embeddings": draw.integer(1, 8)}
        return {"rope_parameters": given | grows}
    if model_type in _OF_EACH_KIND:
        return {"rope_parameters": {kind: draw_rope(draw, longest, d_head) for kind in (_FULL, _SLIDING)}}
    if model_type not in _TURNED_IN_PART:
        return {"rope_parameters": draw_rope(draw, longest, d_head)}
    turned = draw.one_of(range(2, d_head + 1, 2))
    # A little more, since the share is cut down to a whole number.
    share = {"partial_rotary_factor": min(1.0, (turned + 0.01) / d_head)}
    if model_type != "phi3":
        return {"rope_parameters": draw_rope(draw, longest, turned) | share}
    rope = draw_rope(draw, longest, turned, kinds=("default", "longrope")) | share
    # It is also a field of its own.
    return {
        "rope_parameters": rope,
        "original_max_position_embeddings": rope.get("original_max_position_embeddings", longest),
    }


def _layers_of(draw: Draw, fields: dict[str, Any], n_layers: int) -> dict[str, Any]:
    """What is said of each layer, for as many as there are."""
    drawn: dict[str, Any] = {}
    if "layer_types" in fields:
        drawn["layer_types"] = [draw.one_of((_FULL, _SLIDING)) for _ in range(n_layers)]
    if "no_rope_layers" in fields:
        drawn["no_rope_layers"] = [draw.integer(0, 1) for _ in range(n_layers)]
    if "mlp_only_layers" in fields:
        drawn["mlp_only_layers"] = draw.sample(range(n_layers), at_least=0)
    if fields.get("sliding_window") is not None:
        drawn["sliding_window"] = draw.integer(1, 14)
    return drawn


def _experts_of(draw: Draw, fields: dict[str, Any], n_heads: int) -> dict[str, Any]:
    if not _EXPERTS & fields.keys():
        return {}
    n_experts = draw.integer(2, 7)
    # In two bytes a number, transformers' experts must be of these widths.
    widths = {width: 8 * draw.integer(1, 4) for width in ("moe_intermediate_size", "intermediate_size")}
    return {
        **dict.fromkeys(_EXPERTS & fields.keys(), n_experts),
        "num_experts_per_tok": draw.integer(1, n_experts),
        "hidden_size": n_heads * 8,
        **widths,
    }


def _like_gpt(draw: Draw, model_type: str, n_layers: int) -> dict[str, Any]:
    fields = families_gpt.SIZES[model_type] | _specials(draw, model_type, families_gpt.CONFIGS[model_type])
    group = draw.integer(1, 3)
    n_heads = 4 * draw.integer(1, 2) if model_type == "codegen" else group * draw.integer(1, 3)
    d_head, longest = draw.one_of((4, 6, 8)), draw.integer(5, 32)
    drawn = {
        **dict.fromkeys(("n_layer", "n_layers", "num_layers", "num_hidden_layers"), n_layers),
        **dict.fromkeys(("n_head", "n_heads", "num_heads", "num_attention_heads"), n_heads),
        **dict.fromkeys(("n_embd", "d_model", "hidden_size", "word_embed_proj_dim"), n_heads * d_head),
        **dict.fromkeys(("n_positions", "max_seq_len", "max_position_embeddings"), longest),
        **dict.fromkeys(("num_kv_heads", "num_key_value_heads"), n_heads // group),
        **dict.fromkeys(("ffn_dim", "intermediate_size", "n_inner"), draw.integer(4, 40)),
        "rotary_dim": draw.one_of(range(2, d_head + 1, 2)),
        "window_size": draw.integer(1, 14),
        "attention_types": [[[draw.one_of(("global", "local"))], 1] for _ in range(n_layers)],
    }
    own = {name: drawn[name] for name in fields if name in drawn}
    return fields | own | (_ropes_of(draw, model_type, fields, longest, d_head) if "rope_parameters" in fields else {})
