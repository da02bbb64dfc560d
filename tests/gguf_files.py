"""Small GGUF files of models made by transformers, written as llama.cpp's converter writes them."""

import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

ALPHABET = [chr(number) for number in range(ord("!"), ord("Z"))]

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def keys_of(config: Any) -> dict[str, Any]:
    """What llama.cpp's converter says of every model of a kind; a rotation's scaling apart."""
    if config.model_type == "gpt2":
        return {
            "context_length": config.n_positions,
            "block_count": config.n_layer,
            "embedding_length": config.n_embd,
            "feed_forward_length": config.n_inner or 4 * config.n_embd,
            "attention.head_count": config.n_head,
            "attention.layer_norm_epsilon": config.layer_norm_epsilon,
        }
    return {
        "context_length": config.max_position_embeddings,
        "block_count": config.num_hidden_layers,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_parameters["rope_theta"],
    }


def tensors_of(hf: Any) -> dict[str, Tensor]:
    """A model's weights under GGUF's names and in its layout."""
    config, tensors = hf.config, {}
    for name, weight in hf.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        head, kind = name.rsplit(".", 1)
        block = re.fullmatch(r"(?:model\.layers|transformer\.h)\.(\d+)\.(.*)", head)
        place = f"blk.{block[1]}.{_NAMES[block[2]]}" if block else _NAMES[head]
        if config.model_type == "gpt2" and block and weight.ndim == 2:
            weight = weight.T  # Conv1D's (in, out)
        if config.model_type == "llama" and place.endswith(("attn_q", "attn_k")):
            n_heads = config.num_attention_heads if place.endswith("attn_q") else config.num_key_value_heads
            # llama.cpp turns neighbouring coordinates of a Llama's head, transformers those half a head apart.
            halves = weight.unflatten(0, (n_heads, 2, -1))
            weight = halves.transpose(1, 2).flatten(0, 2)
        tensors[f"{place}.{kind}"] = weight.contiguous()
    return tensors


def packed(tensor: Tensor, kind: gguf.GGMLQuantizationType) -> np.ndarray[Any, Any]:
    """A matrix in one of ggml's number formats. Of those that gguf-py unpacks only, random blocks instead."""
    values = tensor.to(torch.float32).numpy()
    try:
        blocks: np.ndarray[Any, Any] = gguf.quants.quantize(values, kind)
        return blocks
    except NotImplementedError:
        per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        size = (*values.shape[:-1], values.shape[-1] // per_block * block_bytes)
        # Without the bits that would make a block's scale, a float16, infinite or NaN.
        return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) & 0xBB


def write_gguf(
    path: Path,
    architecture: str,
    keys: dict[str, Any],
    tensors: dict[str, Tensor],
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    tokenizer: str = "gpt2",
    split: int = 0,
    experts: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> Path:
    """A GGUF file with these keys (None: none) and tensors, and a tokenizer of single characters.

    kind: the number format of all matrices, and experts: of stacks of them; vectors are float32, as llama.cpp writes
    them. tokenizer: llama.cpp's name
    for its kind, `gpt2` (bytes, with merges) or `llama` (sentencepiece, which has scores instead). split: how many
    tensors a part has, where it is cut into several; the first part is returned.
    """
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=split)
    for key, value in keys.items():
        if value is None:
            continue
        if isinstance(value, bool):
            writer.add_bool(f"{architecture}.{key}", value)
        elif isinstance(value, int):
            writer.add_uint64(f"{architecture}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{architecture}.{key}", value)
        elif isinstance(value, list):
            writer.add_array(f"{architecture}.{key}", value)
        else:
            writer.add_string(f"{architecture}.{key}", value)
    _add_tokenizer(writer, tokenizer, len(tensors["token_embd.weight"]))
    for name, tensor in tensors.items():
        used = {2: kind, 3: experts}.get(tensor.ndim, gguf.GGMLQuantizationType.F32)
        writer.add_tensor(name, packed(tensor, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return next(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if split else path


def _add_tokenizer(writer: gguf.GGUFWriter, kind: str, vocab: int) -> None:
    writer.add_tokenizer_model(kind)
    if kind == "gpt2":
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(["<eos>", *ALPHABET, "AB", "CD"][:vocab])
        writer.add_token_merges(["A B", "C D"])
    else:
        tokens = ["<eos>", "\u2581", *ALPHABET, "AB"][:vocab]
        writer.add_token_list(tokens)
        writer.add_token_scores([float(-number) for number in range(len(tokens))])
        writer.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (len(tokens) - 1)])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
