"""Every field of a configuration that transformers reads, by model type: used, without effect, or refused.

One line a type, and data alone; what values a field may have is checked beside (values.py, rules.py). A dot leads into
a configuration, or rope parameters, within a field. tests/models/test_field_lists.py proves the lists: a field that is
used changes the logits of a small model of its type, one without effect does not.
"""

from collections.abc import Mapping
from typing import Any


def names(*lines: str) -> frozenset[str]:
    """The words of some lines: fields, written without quotes."""
    return frozenset(" ".join(lines).split())


_BODY = names("vocab_size hidden_size num_hidden_layers num_attention_heads max_position_embeddings")
_ROTARY = _BODY | names("intermediate_size hidden_act tie_word_embeddings rope_parameters head_dim")
_GROUPED = _ROTARY | {"num_key_value_heads"}
_LLAMA = _GROUPED | {"rms_norm_eps"}
_GPT = names(
    "vocab_size n_positions n_embd n_layer n_head n_inner activation_function layer_norm_epsilon tie_word_embeddings"
)
_GEMMA2 = _LLAMA - {"hidden_act"} | names(
    "hidden_activation attention_bias query_pre_attn_scalar sliding_window layer_types final_logit_softcapping",
    "attn_logit_softcapping",
)
_WINDOWS = names("use_sliding_window sliding_window max_window_layers layer_types")
_EXPERTS = names("num_experts num_experts_per_tok norm_topk_prob")
_SPARSE = _EXPERTS | names("decoder_sparse_step moe_intermediate_size mlp_only_layers")
# A type that lists it turns part of each head; the others turn whole heads.
_PART = "rope_parameters.partial_rotary_factor"
# A type that lists them has a rope for each kind of layer; the others have one for all layers.
_BY_KIND = names("rope_parameters.full_attention rope_parameters.sliding_attention")

USED: Mapping[str, frozenset[str]] = {
    "gpt2": _GPT | names("scale_attn_weights scale_attn_by_inverse_layer_idx"),
    "llama": _LLAMA | names("attention_bias mlp_bias"),
    "mistral": _LLAMA | names("sliding_window"),
    "qwen2": _LLAMA | _WINDOWS,
    "gpt_neox": _ROTARY | names("layer_norm_eps attention_bias use_parallel_residual", _PART),
    "gemma": _LLAMA | names("attention_bias"),
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2 - {"attn_logit_softcapping"} | _BY_KIND,
    "gemma3": names("text_config tie_word_embeddings"),
    "qwen3": _LLAMA | _WINDOWS | names("attention_bias"),
    "qwen3_moe": _LLAMA | _SPARSE | names("attention_bias use_sliding_window sliding_window"),
    "mixtral": _LLAMA | names("sliding_window num_local_experts num_experts_per_tok"),
    "olmo": _GROUPED | names("attention_bias clip_qkv"),
    "olmo2": _LLAMA | names("attention_bias"),
    "olmo3": _LLAMA | _BY_KIND | names("attention_bias sliding_window layer_types"),
    "phi": _GROUPED | names("layer_norm_eps qk_layernorm", _PART),
    "phi3": _LLAMA | names("original_max_position_embeddings sliding_window", _PART),
    "opt": _BODY
    | names(
        "ffn_dim word_embed_proj_dim activation_function enable_bias layer_norm_elementwise_affine",
        "tie_word_embeddings",
    ),
    "gptj": _GPT | names("rotary_dim"),
    "gpt_neo": names(
        "vocab_size hidden_size num_layers num_heads max_position_embeddings intermediate_size activation_function",
        "layer_norm_epsilon attention_types attention_layers window_size tie_word_embeddings",
    ),
    "falcon": _BODY
    | names(
        "rope_parameters ffn_hidden_size activation layer_norm_epsilon bias alibi multi_query num_kv_heads",
        "new_decoder_architecture parallel_attn num_ln_in_parallel_attn tie_word_embeddings",
    ),
    "bloom": names("vocab_size hidden_size n_layer n_head layer_norm_epsilon tie_word_embeddings"),
    "mpt": names(
        "vocab_size d_model n_layers n_heads max_seq_len layer_norm_epsilon tie_word_embeddings attn_config",
        "attn_config.clip_qkv attn_config.softmax_scale",
    ),
    "stablelm": _GROUPED | names("layer_norm_eps use_qkv_bias qk_layernorm use_parallel_residual", _PART),
    "granite": _LLAMA
    | names(
        "attention_bias mlp_bias embedding_multiplier attention_multiplier residual_multiplier logits_scaling",
    ),
    "cohere": _GROUPED | names("layer_norm_eps attention_bias use_qk_norm logit_scale"),
    "cohere2": _GROUPED | names("layer_norm_eps attention_bias sliding_window layer_types logit_scale"),
    "starcoder2": _GROUPED | names("norm_epsilon use_bias sliding_window"),
    "codegen": _GPT | names("rotary_dim"),
    "smollm3": _LLAMA
    | names(
        "attention_bias mlp_bias use_sliding_window sliding_window layer_types no_rope_layers no_rope_layer_interval"
    ),
    "ministral": _LLAMA | names("sliding_window layer_types"),
    "ministral3": _LLAMA | names("sliding_window rope_parameters.llama_4_scaling_beta"),
    "gpt_oss": _LLAMA - {"hidden_act"}
    | names(
        "attention_bias sliding_window layer_types num_local_experts num_experts_per_tok swiglu_alpha swiglu_limit"
    ),
    "gpt_bigcode": _GPT | names("scale_attn_weights multi_query"),
    "arcee": _LLAMA | names("attention_bias mlp_bias"),
    "helium": _LLAMA | names("attention_bias mlp_bias"),
    "seed_oss": _LLAMA | names("attention_bias attention_out_bias mlp_bias"),
    "glm": _LLAMA | names("attention_bias", _PART),
    "glm4": _LLAMA | names("attention_bias", _PART),
    "nemotron": _GROUPED | names("norm_eps attention_bias mlp_bias", _PART),
    "qwen2_moe": _LLAMA | _WINDOWS | _SPARSE | names("qkv_bias shared_expert_intermediate_size"),
    "olmoe": _LLAMA | _EXPERTS | names("attention_bias clip_qkv"),
    "exaone4": _LLAMA | names("sliding_window sliding_window_pattern layer_types"),
    "apertus": _LLAMA | names("attention_bias"),
    "ernie4_5": _LLAMA | names("use_bias"),
}
"""Model type -> the fields that change its logits, in transformers and in Vitro alike."""

_CAUSAL = {"use_bidirectional_attention": (None, False)}
REFUSED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "gemma": _CAUSAL,
    "gemma2": _CAUSAL,
    # transformers has the field and does not follow it.
    "gemma3_text": _CAUSAL | {"attn_logit_softcapping": (None,)},
    # transformers caps the logits of gemma3_text alone, not those of a model with pictures.
    "gemma3": {"text_config.final_logit_softcapping": (None,)},
    # The stream would be normed after every block.
    "opt": {"do_layer_norm_before": (True,), "_remove_final_layer_norm": (False,)},
    # The first would make another stream; the second drops biases where pretraining_tp is above 1.
    "bloom": {"apply_residual_connection_post_layernorm": (False,), "slow_but_exact": (False,)},
    # What transformers does not follow: it computes a model that has these values, whatever is said.
    "mpt": {
        "expansion_ratio": (4,),
        "embedding_fraction": (1.0,),
        "logit_scale": (None,),
        "no_bias": (True,),
        "norm_type": ("low_precision_layernorm", "layernorm"),
        "attn_config.attn_type": ("multihead_attention",),
        "attn_config.prefix_lm": (False,),
        "attn_config.qk_ln": (False,),
        "attn_config.attn_uses_sequence_id": (False,),
        "attn_config.alibi": (True,),
        "attn_config.alibi_bias_max": (8,),
    },
}
"""Model type -> fields that ask for what Vitro does not compute -> the values at which there is nothing to compute."""

UNREAD: Mapping[str, frozenset[str]] = {
    "gemma3": names(
        "vision_config mm_tokens_per_image image_token_index boi_token_index eoi_token_index",
    ),
    "codegen": names("n_ctx"),
    # Its positions are those of ALiBi.
    "mpt": names("learned_pos_emb init_device attn_config.attn_impl attn_config.attn_pdrop"),
    # Its experts have an activation of their own.
    "gpt_oss": names("hidden_act"),
    "gpt_bigcode": names("attention_softmax_in_fp32 scale_attention_softmax_in_fp32"),
}
"""Model type -> fields of its class that change no logit, beside those of WITHOUT_EFFECT."""

_ANSWERS = (
    "output_attentions output_hidden_states output_cross_attentions output_router_logits router_aux_loss_coef "
    "return_dict use_cache"
)
_TRAINING = (
    "attention_dropout hidden_dropout classifier_dropout attn_pdrop embd_pdrop emb_pdrop resid_pdrop resid_dropout "
    "residual_dropout embed_dropout embedding_dropout dropout layerdrop summary_first_dropout router_jitter_noise "
    "initializer_range init_std gradient_checkpointing chunk_size_feed_forward pretraining_tp"
)
_OTHER_HEADS = (
    "id2label label2id num_labels problem_type summary_type summary_use_proj summary_activation summary_proj_to_labels"
)
_TEXT = "bos_token_id eos_token_id pad_token_id"
_PROVENANCE = "architectures auto_map dtype transformers_version name_or_path is_decoder"
# How transformers computes attention, which the engine does not call.
_KERNELS = "reorder_and_upcast_attn attn_implementation experts_implementation"
# Used by some model types (see USED); elsewhere read only by the cache of keys and values, or not at all.
_ELSEWHERE = "sliding_window layer_types rope_parameters head_dim"
_CACHE = "attention_chunk_size mlp_layer_types mtp_layer_types"
_OTHER_KINDS = "vision_aspect_ratio vision_feature_layer vision_feature_select_strategy num_heads"
WITHOUT_EFFECT = names(
    _ANSWERS, _TRAINING, _OTHER_HEADS, _TEXT, _PROVENANCE, _KERNELS, _ELSEWHERE, _CACHE, _OTHER_KINDS
)
"""Fields that change no logit that Vitro computes, for model types whose USED does not list them."""
IGNORED = WITHOUT_EFFECT - names(_TEXT)
"""Those of them that are not even read: kernels that would be fetched, lists as long as a number in the file says."""

ONLY: Mapping[str, tuple[Any, ...]] = {
    "is_causal": (True,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "decoder": (None,),
    "fusion_config": (None,),
    "generator": (None,),
    "kv_sharing_modes": (None,),
    "per_layer_config": (None,),
    "quantization_config": (None,),
    "compression_config": (None,),
    "text_config": (None,),
    "text_encoder": (None,),
    "transformers_weights": (None,),
}
"""Fields that Vitro implements for no model type, with the values at which there is nothing to implement.

`text_config` is one, but where USED lists it.
"""
