"""The architectures of GGUF files that are read: one description each.

What a key means, what its absence means and what llama.cpp has no key for follows llama.cpp: its converter (the folder
`conversion`), which writes the files, and `src/models`, which computes them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitro.models.gguf.header import ROPE_FREQS, Header
from vitro.models.gguf.layouts import GROUPED, PER_HEAD, TURNED, Layout
from vitro.models.gguf.names import (
    AROUND,
    ATTENTION,
    BLOOM,
    DENSE,
    EXPERTS,
    FALCON,
    FUSED,
    GPT2,
    GPT_OSS,
    HEAD_NORMS,
    MLP,
    NORMS,
    PERMUTED,
    SHARED_EXPERT,
    STARCODER,
    WHOLE,
    Source,
    laid_out,
    less_one,
)

ROPE_FACTORS = ("rope_factors_long.weight", "rope_factors_short.weight")
_OF_THE_WHOLE = frozenset({"token_embd", "position_embd", "token_embd_norm", "output_norm", "output"})
_TENSOR = re.compile(r"(blk\.(?P<block>[0-9]{1,9})\.)?(?P<part>[a-z0-9_]+)\.(?P<kind>weight|bias)")


@dataclass(frozen=True)
class Architecture:
    """What a GGUF file of one architecture holds, and what transformers calls it."""

    model_type: str
    keys: Mapping[str, str]
    """Keys that are fields of the configuration. A file must have them all: transformers' default for a missing one
    belongs to another model."""
    weights: Mapping[str, Source]
    """Names of weights in the model, without the block's prefix and without kind where the kind is the file's too."""
    biases: frozenset[str] = frozenset()
    """The tensors of a file that may have a bias."""
    blocks: str = "model.layers"
    """The model's name for its blocks."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields that no key gives: what llama.cpp computes for every file of the architecture."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Keys that have no field, and must say what another key says."""
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Keys that have no field, with the values at which they say what is computed anyway."""
    rotates: bool = True
    partial: bool = False
    """Whether a share of each head may be rotated; else all of it is."""
    wide: bool = True
    """Whether the width of heads is a field; else it is what the number of heads makes of the model's width."""
    own: frozenset[str] = frozenset()
    """Keys that the architecture's own function in `fields.py` reads."""
    extra: frozenset[str] = frozenset()
    """Tensors that are no weights of the model."""

    def block_of(self, tensor: str) -> int | None:
        """The block that a tensor of the file belongs to; -1: to none, to the whole model; None: it has no place."""
        match = _TENSOR.fullmatch(tensor)
        if tensor in self.extra:
            return -1
        if match is None or (match["part"] in _OF_THE_WHOLE) == (match["block"] is not None):
            return None
        known = {name for source in self.weights.values() for name in source.parts}
        if match["part"] not in known or (match["kind"] == "bias" and match["part"] not in self.biases):
            return None
        return -1 if match["block"] is None else int(match["block"])

    def places(self, name: str) -> tuple[tuple[str, ...], Layout]:
        """The tensors in the file that a weight of the model is made from, and how.

        name: the weight's in the model. Raises KeyError where the architecture has no such weight.
        """
        where, rest = "", name
        if name.startswith(f"{self.blocks}."):
            block, rest = name.removeprefix(f"{self.blocks}.").split(".", 1)
            where = f"blk.{block}."
        kind = ""
        if rest not in self.weights:
            rest, kind = rest.rsplit(".", 1)
        source = self.weights[rest]
        return tuple(f"{where}{part}.{source.kind or kind}" for part in source.parts), source.layout


def architecture_of(header: Header) -> Architecture:
    """The description of a file's architecture. Raises KeyError for one that is not read."""
    if header.architecture == "llama" and header.describing().get("expert_count", 0) != 0:
        return MIXTRAL
    return ARCHITECTURES[header.architecture]


_SIZES = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}
_RMS = _SIZES | {"attention.layer_norm_rms_epsilon": "rms_norm_eps"}
_WINDOW = "attention.sliding_window"
_EPSILON = "attention.layer_norm_epsilon"
_QKV = frozenset({"attn_q", "attn_k", "attn_v"})
_LINEAR = _QKV | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}
_NORMED = frozenset({"output_norm", "attn_norm", "ffn_norm"})
_JOINT = _NORMED | {"attn_qkv", "attn_output", "ffn_up", "ffn_down"}


MIXTRAL = Architecture(
    "mixtral",
    _RMS | {"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
    WHOLE | NORMS | ATTENTION | PERMUTED | EXPERTS,
    neutral={"expert_weights_norm": (True,), "expert_gating_func": (1,)},
)
"""A file of the architecture `llama` whose blocks have experts."""
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(
        "llama",
        _RMS,
        DENSE | PERMUTED,
        biases=_LINEAR,
        extra=frozenset({ROPE_FREQS}),
    ),
    "qwen2": Architecture("qwen2", _RMS, DENSE, biases=_QKV),
    "gpt2": Architecture(
        "gpt2",
        {
            "context_length": "n_positions",
            "block_count": "n_layer",
            "embedding_length": "n_embd",
            "feed_forward_length": "n_inner",
            "attention.head_count": "n_head",
            _EPSILON: "layer_norm_epsilon",
        },
        GPT2 | laid_out(TURNED, GPT2, "attn_qkv", "attn_output", "ffn_up", "ffn_down"),
        biases=_JOINT,
        blocks="transformer.h",
        same={"attention.head_count_kv": "attention.head_count"},
        rotates=False,
    ),
    "qwen2moe": Architecture(
        "qwen2_moe",
        _RMS
        | {
            "expert_count": "num_experts",
            "expert_used_count": "num_experts_per_tok",
            "expert_feed_forward_length": "moe_intermediate_size",
            "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
        },
        WHOLE | NORMS | ATTENTION | EXPERTS | SHARED_EXPERT,
        biases=_QKV,
        fixed={"norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": []},
        neutral={"expert_weights_norm": (False,), "expert_gating_func": (1,)},
        wide=False,
    ),
    "qwen3": Architecture("qwen3", _RMS, DENSE | HEAD_NORMS),
    "qwen3moe": Architecture(
        "qwen3_moe",
        _RMS
        | {
            "expert_count": "num_experts",
            "expert_used_count": "num_experts_per_tok",
            "expert_feed_forward_length": "moe_intermediate_size",
        },
        WHOLE | NORMS | ATTENTION | HEAD_NORMS | EXPERTS,
        fixed={"norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
        neutral={"expert_weights_norm": (True,), "expert_gating_func": (1,)},
    ),
    "gemma": Architecture("gemma", _RMS, less_one(DENSE)),
    "gemma2": Architecture(
        "gemma2",
        _RMS,
        less_one(WHOLE | AROUND | ATTENTION | MLP),
        own=frozenset({_WINDOW, "attn_logit_softcapping", "final_logit_softcapping"}),
    ),
    "gemma3": Architecture(
        "gemma3_text",
        _RMS | {_WINDOW: "sliding_window"},
        less_one(WHOLE | AROUND | ATTENTION | HEAD_NORMS | MLP),
        own=frozenset({"attention.sliding_window_pattern", "final_logit_softcapping", "rope.freq_base_swa"}),
    ),
    "phi3": Architecture(
        "phi3",
        _RMS,
        WHOLE | NORMS | {"self_attn.o_proj": ATTENTION["self_attn.o_proj"]} | FUSED,
        partial=True,
        wide=False,
        own=frozenset({_WINDOW, "rope.scaling.attn_factor"}),
        extra=frozenset(ROPE_FACTORS),
    ),
    "falcon": Architecture(
        "falcon",
        {
            "context_length": "max_position_embeddings",
            "block_count": "num_hidden_layers",
            "embedding_length": "hidden_size",
            "feed_forward_length": "ffn_hidden_size",
            "attention.head_count": "num_attention_heads",
            "attention.head_count_kv": "num_kv_heads",
            _EPSILON: "layer_norm_epsilon",
        },
        FALCON | laid_out(GROUPED, FALCON, "attn_qkv") | {"ln_mlp": Source(("attn_norm",))},
        biases=frozenset({"output_norm", "attn_norm", "attn_norm_2"}),
        blocks="transformer.h",
        fixed={"alibi": False, "bias": False, "parallel_attn": True},
        neutral={"tensor_data_layout": ("jploski",)},
        wide=False,
    ),
    "bloom": Architecture(
        "bloom",
        {
            "block_count": "n_layer",
            "embedding_length": "hidden_size",
            "attention.head_count": "n_head",
            "context_length": "seq_length",
            _EPSILON: "layer_norm_epsilon",
        },
        BLOOM | laid_out(PER_HEAD, BLOOM, "attn_qkv"),
        biases=_JOINT | {"token_embd_norm"},
        blocks="transformer.h",
        same={"attention.head_count_kv": "attention.head_count"},
        neutral={"attention.max_alibi_bias": (8.0,)},
        rotates=False,
        own=frozenset({"feed_forward_length"}),
    ),
    "stablelm": Architecture(
        "stablelm",
        _SIZES | {_EPSILON: "layer_norm_eps"},
        DENSE,
        biases=_QKV | _NORMED,
        fixed={"qk_layernorm": False},
        partial=True,
        wide=False,
        own=frozenset({"use_parallel_residual"}),
    ),
    "starcoder2": Architecture(
        "starcoder2",
        _SIZES | {_EPSILON: "norm_epsilon"},
        WHOLE | NORMS | ATTENTION | STARCODER,
        biases=_LINEAR | _NORMED,
        fixed={"sliding_window": None},
        wide=False,
    ),
    "nemotron": Architecture(
        "nemotron",
        _SIZES | {_EPSILON: "norm_eps"},
        less_one({name: source for name, source in DENSE.items() if name != "mlp.gate_proj"}),
        biases=_NORMED,
        partial=True,
    ),
    "gpt-oss": Architecture(
        "gpt_oss",
        _RMS
        | {
            "expert_count": "num_local_experts",
            "expert_used_count": "num_experts_per_tok",
            _WINDOW: "sliding_window",
        },
        WHOLE | NORMS | ATTENTION | GPT_OSS,
        biases=_QKV | {"attn_output", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"},
        same={"expert_feed_forward_length": "feed_forward_length"},
        own=frozenset({"attention.sliding_window_pattern", "rope.freq_base_swa"}),
    ),
}
