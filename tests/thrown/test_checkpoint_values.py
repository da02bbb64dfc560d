"""Configurations that no model has, or that lie: each is read, or refused in one line, in no time and memory."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from bad_checkpoints import MEGABYTES, SECONDS, configure, read, refused, sound
from command import Vitro, refusal
from limits import within
from vitro.models import ModelError, find, load_tokenizer
from vitro.models.config import config_hash


@dataclass(frozen=True)
class Fault:
    """Fields put into a model's config.json, and words of the line that refuses it."""

    model_type: str
    fields: dict[str, Any]
    words: str

    def __str__(self) -> str:
        return f"{self.model_type}: {self.fields}"[:60]


SIZES = [
    Fault("gpt2", {"n_layer": 10**9}, "config.json says that it has 1000000000 layers, and its weights are those of 3"),
    Fault("gpt2", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("gpt2", {"n_layer": 10**400}, "layers, and its weights are those of 3"),
    Fault(
        "gpt2", {"vocab_size": 10**8}, "wte.weight among them: it is 60 x 32, and would be 100000000 x 32 by vocab_size"
    ),
    Fault(
        "gpt2", {"n_positions": 10**6}, "wpe.weight among them: it is 32 x 32, and would be 1000000 x 32 by n_positions"
    ),
    Fault("gpt2", {"n_embd": 4 * 10**6}, "by n_embd"),
    Fault("gpt2", {"n_inner": 10**9}, "by n_inner"),
    Fault("gpt2", {"n_head": 10**9}, "sets n_head to 1000000000; Vitro reads divisors of n_embd (32)"),
    Fault(
        "gpt2",
        {"vocab_size": 10**17},
        "config.json describes no model (RuntimeError: Storage size calculation overflowed",
    ),
    Fault("llama", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("llama", {"hidden_size": 6 * 10**7}, "by hidden_size"),
    Fault("llama", {"intermediate_size": 10**9}, "by intermediate_size"),
    Fault("llama", {"vocab_size": 10**8}, "by vocab_size"),
    Fault("llama", {"head_dim": 10**8}, "weights have another shape than config.json says"),
    Fault("llama", {"num_attention_heads": 10**9}, "not a multiple of the number of attention heads"),
    Fault("llama", {"num_key_value_heads": 10**9}, "sets num_key_value_heads to 1000000000; Vitro reads divisors of"),
    Fault("llama", {"head_dim": 10**9, "num_attention_heads": 48, "num_key_value_heads": 16}, "have another shape"),
    # transformers lists a kind for each layer when it reads the file.
    Fault("qwen2", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault(
        "qwen2", {"num_hidden_layers": 10**9, "layer_types": ["full_attention"]}, "says that it has 1000000000 layers"
    ),
    Fault("gpt_neox", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("deepseek_v3", {"n_routed_experts": 10**9, "num_hidden_layers": 10**9}, "type 'deepseek_v3' is not known"),
]
VALUES = [
    *(
        Fault("gpt2", {"n_head": n}, f"its configuration sets n_head to {n}; Vitro reads whole numbers from 1")
        for n in (-1, 0)
    ),
    *(
        Fault("gpt2", {"n_layer": n}, f"its configuration sets n_layer to {n}; Vitro reads whole numbers")
        for n in (-1, 0)
    ),
    Fault("llama", {"num_hidden_layers": 0}, "sets num_hidden_layers to 0"),
    Fault("llama", {"num_attention_heads": 0}, "config.json describes no llama model"),
    Fault("llama", {"num_attention_heads": -6, "num_key_value_heads": -2}, "sets num_attention_heads to -6"),
    Fault(
        "llama",
        {"num_key_value_heads": 4},
        "sets num_key_value_heads to 4; Vitro reads divisors of num_attention_heads",
    ),
    Fault("llama", {"num_key_value_heads": -2}, "sets num_key_value_heads to -2"),
    Fault("llama", {"head_dim": 7}, "RoPE requires an even rotary dimension"),
    Fault("llama", {"head_dim": 3}, "sets head_dim to 3; Vitro reads an even number"),
    Fault("mistral", {"sliding_window": 0}, "sets sliding_window to 0; Vitro reads windows of 1 to 1e+18 positions"),
    Fault("mistral", {"sliding_window": 10**30}, "sets sliding_window to 1000000000"),
    Fault("llama", {"max_position_embeddings": 10**30}, "sets max_position_embeddings to 10000"),
    Fault("qwen2", {"use_sliding_window": True, "sliding_window": -1}, "sets sliding_window to -1"),
    Fault(
        "gpt_neox", {"rope_parameters": {"partial_rotary_factor": 2}}, "partial_rotary_factor to 2; Vitro reads shares"
    ),
    Fault("gpt_neox", {"rotary_pct": 2, "rope_parameters": None}, "partial_rotary_factor to 2; Vitro reads shares"),
    Fault("llama", {"partial_rotary_factor": 2}, "sets partial_rotary_factor to 2; Vitro reads shares"),
    Fault("llama", {"rope_theta": 0, "rope_parameters": None}, "sets rope_theta to 0; Vitro reads numbers above 0"),
    Fault("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": "two"}}, "sets factor to two"),
    Fault(
        "llama", {"rope_parameters": {"rope_type": "spiral"}}, "sets rope_type to spiral; Vitro reads default, dynamic"
    ),
    Fault("llama", {"rope_parameters": {"rope_type": ["yarn"]}}, "sets rope_type to ['yarn']"),
    Fault("llama", {"rope_parameters": {"rope_type": "llama3"}}, "Missing required keys in `rope_parameters`"),
    Fault(
        "llama",
        {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0]}},
        "sets long_factor to [1.0]; Vitro reads lists of 4 numbers",
    ),
    Fault("llama", {"rms_norm_eps": float("nan")}, "sets rms_norm_eps to nan; Vitro reads numbers from 0 up"),
    Fault("gpt2", {"layer_norm_epsilon": float("-inf")}, "sets layer_norm_epsilon to -inf"),
    Fault("gpt2", {"activation_function": "swoosh"}, "sets activation_function to swoosh; Vitro reads gelu"),
    Fault("gpt2", {"model_type": None}, "config.json has no model_type; nearest is gpt2 (16 of 16 weights"),
    Fault("gpt2", {"model_type": ["gpt2"]}, "config.json has no model_type; nearest is gpt2 (16 of 16 weights"),
    Fault(
        "gpt2",
        {"n_layer": "3"},
        "config.json describes no gpt2 model (TypeError: Field 'n_layer' expected int, got str",
    ),
    Fault("gpt2", {"num_hidden_layers": "3"}, "Field 'n_layer' expected int, got str"),
    Fault("gpt2", {"n_embd": 32.0}, "Field 'n_embd' expected int, got float"),
    Fault("gpt2", {"n_layer": True}, "Field 'n_layer' expected int, got bool"),
    Fault("llama", {"rope_parameters": [1]}, "config.json describes no llama model"),
]
QUANTISED = [
    Fault("gpt2", {"quantization_config": config}, f"is quantised ({method}, by quantization_config in config.json)")
    for method, config in {
        "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "gptq": {"quant_method": "gptq", "bits": 4},
        "awq": {"quant_method": "awq", "bits": 4},
        "compressed-tensors": {"quant_method": "compressed-tensors", "config_groups": {}},
        "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }.items()
]


@pytest.mark.parametrize("fault", [*SIZES, *VALUES, *QUANTISED], ids=str)
def test_what_a_configuration_says_is_not_believed(tmp_path: Path, fault: Fault) -> None:
    known = fault.model_type if fault.model_type != "deepseek_v3" else "llama"
    model = configure(sound(tmp_path / "model", known), **{"model_type": fault.model_type, **fault.fields})
    assert fault.words in refused(model)
    # A study asks for these before it loads the model: both may do without the sizes that are wrong.
    for ask in (config_hash, load_tokenizer):
        with within(SECONDS, MEGABYTES), suppress(ModelError):
            ask(find(str(model)))


@pytest.mark.parametrize(
    "fields",
    [
        *({field: "kernels-community/flash-attn"} for field in ("attn_implementation", "_attn_implementation")),
        {"attn_implementation": "flash_attention_2", "_attn_implementation_autoset": True},
        {"experts_implementation": {"": "someone/kernel"}, "_attn_implementation_internal": "someone/kernel"},
        {"num_labels": 10**9, "id2label": None},
        {"dtype": "float7", "torch_dtype": 16, "architectures": 5, "auto_map": 5, "transformers_version": []},
        {"to_dict": 5, "save_pretrained": "x", "__class__": "x", "validate": None, "attribute_map": 3},
        {"problem_type": "single_label_classification", "num_labels": 1, "label2id": 3},
        {"quantization_config": None, "max_position_embeddings": 32, "sliding_window": -4, "layer_types": "all"},
    ],
    ids=str,
)
def test_what_changes_no_number_is_read_whatever_it_says(tmp_path: Path, fields: dict[str, Any]) -> None:
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        plain = read(sound(tmp_path / "plain")).hf(tokens).logits
        logits = read(configure(sound(tmp_path / "model"), **fields)).hf(tokens).logits
    assert torch.equal(logits, plain)


def test_a_limit_of_positions_costs_nothing(tmp_path: Path) -> None:
    model = configure(sound(tmp_path / "model", "llama"), max_position_embeddings=10**12)
    assert read(model).shape.n_ctx == 10**12


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_layer": 10**9}, "config.json says that it has 1000000000 layers"),
        ({"n_head": -1}, "its configuration sets n_head to -1"),
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantised (gptq"),
    ],
)
@pytest.mark.parametrize("command", [["study", "days", "--out"], ["tasks", "days"]])
def test_the_command_line_refuses_it_in_one_line_and_writes_nothing(
    vitro: Vitro, tmp_path: Path, command: list[str], fields: dict[str, Any], words: str
) -> None:
    folder = configure(sound(tmp_path / "model"), **fields)
    out = [str(tmp_path / "out")] if "--out" in command else []
    assert words in refusal(vitro(*command, *out, "--model", str(folder)))
    assert not (tmp_path / "out").exists()
