"""What the tensors of a GGUF file are called, and the weights of transformers' models that are made from them."""

from collections.abc import Mapping
from typing import NamedTuple

from vitro.models.gguf.layouts import (
    ALTERNATING,
    AS_IT_IS,
    BESIDE,
    HALVES_K,
    HALVES_Q,
    LESS_ONE,
    ROW,
    TURNED,
    Layout,
)


class Source(NamedTuple):
    """Where a file holds one weight of a model."""

    parts: tuple[str, ...]
    """Names of tensors, without block and kind: `attn_q`, or `ffn_gate_exps` and `ffn_up_exps`."""
    layout: Layout = AS_IT_IS
    kind: str = ""
    """`weight` or `bias`; empty: as the weight's own name ends."""


def parts(**names: str) -> dict[str, Source]:
    """Weights that are one tensor in the file: the tensor's name -> the weight's."""
    return {weight: Source((part,)) for part, weight in names.items()}


def laid_out(layout: Layout, weights: Mapping[str, Source], *parts: str) -> dict[str, Source]:
    """The weights of some tensors, with another layout."""
    return {name: source._replace(layout=layout) for name, source in weights.items() if source.parts[0] in parts}


def less_one(weights: Mapping[str, Source]) -> dict[str, Source]:
    """Weights of which every norm is stored with one added, but for its bias."""
    norms = {name: source.parts for name, source in weights.items() if source.parts[0].endswith("norm")}
    return {**weights, **{f"{name}.weight": Source(part, LESS_ONE, "weight") for name, part in norms.items()}}


WHOLE = parts(token_embd="model.embed_tokens", output_norm="model.norm", output="lm_head")
NORMS = parts(attn_norm="input_layernorm", ffn_norm="post_attention_layernorm")
ATTENTION = parts(
    attn_q="self_attn.q_proj", attn_k="self_attn.k_proj", attn_v="self_attn.v_proj", attn_output="self_attn.o_proj"
)
HEAD_NORMS = parts(attn_q_norm="self_attn.q_norm", attn_k_norm="self_attn.k_norm")
MLP = parts(ffn_gate="mlp.gate_proj", ffn_up="mlp.up_proj", ffn_down="mlp.down_proj")
DENSE = WHOLE | NORMS | ATTENTION | MLP
PERMUTED = laid_out(HALVES_Q, ATTENTION, "attn_q") | laid_out(HALVES_K, ATTENTION, "attn_k")
EXPERTS = {
    "mlp.gate": Source(("ffn_gate_inp",)),
    "mlp.experts.gate_up_proj": Source(("ffn_gate_exps", "ffn_up_exps"), BESIDE, "weight"),
    "mlp.experts.down_proj": Source(("ffn_down_exps",), AS_IT_IS, "weight"),
}
SHARED_EXPERT = parts(
    ffn_gate_shexp="mlp.shared_expert.gate_proj",
    ffn_up_shexp="mlp.shared_expert.up_proj",
    ffn_down_shexp="mlp.shared_expert.down_proj",
) | {"mlp.shared_expert_gate": Source(("ffn_gate_inp_shexp",), ROW)}
GPT_OSS = {
    "self_attn.sinks": Source(("attn_sinks",), kind="weight"),
    "post_attention_layernorm": Source(("post_attention_norm",)),
    "mlp.router": Source(("ffn_gate_inp",)),
    "mlp.experts.gate_up_proj": Source(("ffn_gate_exps", "ffn_up_exps"), ALTERNATING, "weight"),
    "mlp.experts.gate_up_proj_bias": Source(("ffn_gate_exps", "ffn_up_exps"), ALTERNATING, "bias"),
    "mlp.experts.down_proj": Source(("ffn_down_exps",), TURNED, "weight"),
    "mlp.experts.down_proj_bias": Source(("ffn_down_exps",), AS_IT_IS, "bias"),
}
AROUND = parts(
    attn_norm="input_layernorm",
    post_attention_norm="post_attention_layernorm",
    ffn_norm="pre_feedforward_layernorm",
    post_ffw_norm="post_feedforward_layernorm",
)
GPT2 = parts(
    token_embd="transformer.wte",
    position_embd="transformer.wpe",
    output_norm="transformer.ln_f",
    output="lm_head",
    attn_norm="ln_1",
    ffn_norm="ln_2",
    attn_qkv="attn.c_attn",
    attn_output="attn.c_proj",
    ffn_up="mlp.c_fc",
    ffn_down="mlp.c_proj",
)
FALCON = parts(
    token_embd="transformer.word_embeddings",
    output_norm="transformer.ln_f",
    output="lm_head",
    attn_norm="input_layernorm",
    attn_norm_2="ln_attn",
    attn_qkv="self_attention.query_key_value",
    attn_output="self_attention.dense",
    ffn_up="mlp.dense_h_to_4h",
    ffn_down="mlp.dense_4h_to_h",
)
BLOOM = parts(token_embd_norm="transformer.word_embeddings_layernorm", ffn_norm="post_attention_layernorm") | {
    name: source for name, source in FALCON.items() if name != "ln_attn"
}
STARCODER = parts(ffn_up="mlp.c_fc", ffn_down="mlp.c_proj")
FUSED = parts(attn_qkv="self_attn.qkv_proj", ffn_up="mlp.gate_up_proj", ffn_down="mlp.down_proj")
