"""A GGUF file of every architecture gives the configuration and, bit for bit, the weights that it was written from."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

from gguf_families import MODELS, keys_of, model_of, tensors_of
from gguf_files import packed, write_gguf
from vitro.models import ModelError, find
from vitro.models.config import quiet_transformers
from vitro.models.gguf.config import config_of
from vitro.models.gguf.header import read_header
from vitro.models.gguf.weights import read_weights

PROMPT = torch.tensor([[0, 5, 9, 3, 7, 8, 11, 12, 13, 40, 2, 1, 0, 5, 9, 3, 7, 33]])
NOT_COMPUTED = {"_name_or_path", "transformers_version", "dtype", "architectures", "bos_token_id", "eos_token_id"}
# Where transformers' own reader finds no weights, or others: see `test_transformers_reads_the_same`.
OTHERWISE = {
    "mixtral": "it takes the file for a Llama",
    "gemma": "it does not know the architecture",
    "falcon, groups": "it leaves queries, keys and values as the converter ordered them",
    "falcon, groups, one norm": "it leaves queries, keys and values as the converter ordered them",
    "gpt-oss": "it looks for experts under names that no file has",
}


def written(folder: Path, name: str, **more: Any) -> tuple[Path, Any]:
    """A file of a model, and the model."""
    hf = model_of(name)
    architecture = MODELS[name][0]
    return write_gguf(folder / "m.gguf", architecture, keys_of(hf) | more, tensors_of(hf, architecture)), hf


def read(path: Path) -> Any:
    """The model of a file, through the readers."""
    checkpoint = find(str(path))
    header = read_header(checkpoint)
    config = config_of(checkpoint, header)
    with torch.device("meta"):
        skeleton = transformers.AutoModelForCausalLM.from_config(config)
    weights = read_weights(checkpoint, header, skeleton)
    with quiet_transformers():
        hf = type(skeleton).from_pretrained(None, config=config, state_dict=weights)
    return hf.eval()


def fields_of(config: Any) -> dict[str, Any]:
    """The fields that decide what is computed."""
    fields = {field: value for field, value in config.to_dict().items() if field not in NOT_COMPUTED}
    return {field: value for field, value in fields.items() if value is not None}


def agree(ours: Any, theirs: Any) -> bool:
    """Whether values are the same; numbers as float32, in which files have them."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(agree(ours[key], theirs[key]) for key in ours)
    if isinstance(theirs, float):
        return bool(torch.tensor(ours) == torch.tensor(theirs))
    return bool(ours == theirs)


def assert_same_bits(ours: Any, theirs: Any) -> None:
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_configuration_and_the_logits_that_it_was_written_from(tmp_path: Path, name: str) -> None:
    path, hf = written(tmp_path, name)
    ours = read(path)
    expected, found = fields_of(hf.config), fields_of(ours.config)
    for field in ("num_kv_heads", "multi_query") if MODELS[name][1] == "falcon" else ():
        # Two ways to say the same: without groups neither counts, with them multi_query does not.
        expected.pop(field), found.pop(field)
    differing = {
        field: (found.get(field), value) for field, value in expected.items() if not agree(found.get(field), value)
    }
    assert not differing
    with torch.no_grad():
        torch.testing.assert_close(ours(PROMPT).logits, hf(PROMPT).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith(("gemma", "nemotron"))])
def test_weights_are_bit_for_bit_those_that_were_written(tmp_path: Path, name: str) -> None:
    path, hf = written(tmp_path, name)
    assert_same_bits(read(path), hf)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OTHERWISE])
def test_transformers_reads_the_same(tmp_path: Path, name: str) -> None:
    path, _ = written(tmp_path, name)
    ours = read(path)
    with quiet_transformers():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, config=ours.config, dtype=torch.float32
        )
    assert_same_bits(ours, theirs)


def test_norms_less_one_are_taken_in_float32(tmp_path: Path) -> None:
    hf = model_of("gemma2")
    path = write_gguf(tmp_path / "m.gguf", "gemma2", keys_of(hf), tensors_of(hf, "gemma2"))
    found = read(path).state_dict()["model.norm.weight"]
    assert torch.equal(found, (hf.state_dict()["model.norm.weight"] + 1) - 1)


def test_the_gate_of_a_shared_expert_may_be_a_vector_or_a_matrix_of_one_row(tmp_path: Path) -> None:
    hf = model_of("qwen2moe")
    tensors = tensors_of(hf, "qwen2moe")
    name = "blk.1.ffn_gate_inp_shexp.weight"
    assert tensors[name].ndim == 1
    row = {name: tensors[name][None]}
    assert_same_bits(read(write_gguf(tmp_path / "m.gguf", "qwen2moe", keys_of(hf), tensors | row)), hf)


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.MXFP4, Kind.Q5_1])
def test_experts_are_unpacked_as_gguf_py_unpacks_them(tmp_path: Path, kind: Kind) -> None:
    hf = model_of("gpt-oss", hidden_size=64, intermediate_size=96)
    tensors = tensors_of(hf, "gpt-oss")
    experts = {name: tensor for name, tensor in tensors.items() if name.endswith("exps.weight")}
    numbers = {name: packed(tensor.flatten(0, 1), kind) for name, tensor in experts.items()}
    for name, values in numbers.items():
        tensors[name] = torch.from_numpy(gguf.dequantize(values, kind)).reshape(experts[name].shape)
    path = write_gguf(tmp_path / "m.gguf", "gpt-oss", keys_of(hf), experts | tensors, experts=kind)
    whole = write_gguf(tmp_path / "whole.gguf", "gpt-oss", keys_of(hf), tensors)
    assert path.stat().st_size < whole.stat().st_size
    assert_same_bits(read(path), read(whole))


def with_keys(folder: Path, name: str, **keys: Any) -> Any:
    """The configuration of a file with other keys."""
    path, _ = written(folder, name, **{key.replace("__", "."): value for key, value in keys.items()})
    checkpoint = find(str(path))
    return config_of(checkpoint, read_header(checkpoint))


def test_gemma_3_has_windows_where_the_file_says_or_in_five_layers_of_six(tmp_path: Path) -> None:
    full = [kind == "full_attention" for kind in with_keys(tmp_path, "gemma3").layer_types]
    assert full == [False] * 5 + [True, False]
    key = "attention__sliding_window_pattern"
    assert [kind[0] for kind in with_keys(tmp_path, "gemma3", **{key: 3}).layer_types] == list("ssfssfs")
    listed = [True, False, False, True, True, True, False]
    assert [kind[0] for kind in with_keys(tmp_path, "gemma3", **{key: listed}).layer_types] == list("sffsssf")
    for pattern in (0, [True], "all"):
        with pytest.raises(ModelError, match=r"says gemma3\.attention\.sliding_window_pattern = "):
            with_keys(tmp_path, "gemma3", **{key: pattern})


def test_gemma_3_scales_the_rotation_of_layers_without_a_window_alone(tmp_path: Path) -> None:
    scaled = {"rope__scaling__type": "linear", "rope__scaling__factor": 8.0, "rope__freq_base_swa": 5000.0}
    rope = with_keys(tmp_path, "gemma3", **scaled).rope_parameters
    assert rope["full_attention"] == {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    assert rope["sliding_attention"] == {"rope_type": "default", "rope_theta": 5000.0}


@pytest.mark.parametrize(("name", "depth"), [("gemma2", 46), ("gemma3", 62)])
def test_the_gemmas_of_27b_divide_queries_by_another_width(tmp_path: Path, name: str, depth: int) -> None:
    assert with_keys(tmp_path, name).query_pre_attn_scalar == 16
    hf = model_of(name, num_hidden_layers=depth, query_pre_attn_scalar=8)
    path = write_gguf(tmp_path / "deep.gguf", name, keys_of(hf), tensors_of(hf, name))
    checkpoint = find(str(path))
    assert config_of(checkpoint, read_header(checkpoint)).query_pre_attn_scalar == 8


def test_phi_3_has_both_sets_of_factors_that_the_file_holds(tmp_path: Path) -> None:
    short, long = [1.0, 1.25, 1.5, 1.75], [2.0, 3.5, 5.0, 7.25]
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": short,
        "long_factor": long,
        "original_max_position_embeddings": 16,
        "attention_factor": 1.25,
    }
    hf = model_of("phi3", rope_parameters=rope, original_max_position_embeddings=16)
    factors = {"rope_factors_long.weight": torch.tensor(long), "rope_factors_short.weight": torch.tensor(short)}
    tensors = tensors_of(hf, "phi3")
    keys = keys_of(hf) | {"rope.scaling.attn_factor": 1.25}
    ours = read(write_gguf(tmp_path / "m.gguf", "phi3", keys, tensors | factors))
    assert_same_bits(ours, hf)
    for length in (9, 18):
        with torch.no_grad():
            logits = ours(PROMPT[:, :length]).logits
            torch.testing.assert_close(logits, hf(PROMPT[:, :length]).logits, atol=1e-4, rtol=1e-4)
    del factors["rope_factors_long.weight"]
    with pytest.raises(ModelError, match=r"says rope_factors_short\.weight = "):
        read(write_gguf(tmp_path / "half.gguf", "phi3", keys, tensors | factors))


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("mixtral", {"expert_weights_norm": False}),
    ("qwen2moe", {"expert_weights_norm": True}),
    ("qwen2moe", {"attention__key_length": 16}),
    ("qwen3", {"attention__sliding_window": 5}),
    ("gemma", {"final_logit_softcapping": 30.0}),
    ("gemma2", {"attention__scale": 0.5}),
    ("phi3", {"rope__scaling__attn_factor": 1.5}),
    ("phi3", {"rope__dimension_count": 10}),
    ("falcon, groups", {"attention__head_count_kv": 4}),
    ("falcon", {"tensor_data_layout": "Meta AI original pth"}),
    ("bloom", {"feed_forward_length": 100}),
    ("bloom", {"attention__head_count_kv": 2}),
    ("stablelm", {"use_parallel_residual": True}),
    ("nemotron", {"attention__key_length": 12, "attention__value_length": 12}),
    ("gpt-oss", {"rope__freq_base_swa": 10.0}),
    ("gpt-oss", {"expert_feed_forward_length": 24}),
]


@pytest.mark.parametrize(("name", "keys"), REFUSED)
def test_a_key_that_the_model_has_no_field_for_is_refused_by_name(
    tmp_path: Path, name: str, keys: dict[str, Any]
) -> None:
    (named, *_) = [key.replace("__", ".") for key in keys]
    named = "rope.dimension_count" if name == "nemotron" else named
    with pytest.raises(ModelError, match=rf"m\.gguf says {MODELS[name][0]}\.{named} = .* not carried into the model"):
        with_keys(tmp_path, name, **keys)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("qwen3", "blk.0.attn_q.bias"),
        ("gemma", "blk.0.post_ffw_norm.weight"),
        ("mixtral", "blk.0.ffn_gate.0.weight"),
        ("stablelm", "blk.0.attn_q_norm.weight"),
        ("gpt-oss", "blk.0.ffn_gate.weight"),
        ("falcon", "attn_norm.weight"),
        ("bloom", "blk.0.output_norm.weight"),
    ],
)
def test_a_tensor_without_a_place_is_refused(tmp_path: Path, name: str, tensor: str) -> None:
    hf, architecture = model_of(name), MODELS[name][0]
    tensors = tensors_of(hf, architecture) | {tensor: torch.ones(8)}
    path = write_gguf(tmp_path / "m.gguf", architecture, keys_of(hf), tensors)
    with pytest.raises(ModelError, match=rf"has no place for \({tensor}\)"):
        read(path)


def test_a_bias_that_only_some_blocks_have_is_refused(tmp_path: Path) -> None:
    hf = model_of("starcoder2")
    tensors = tensors_of(hf, "starcoder2")
    del tensors["blk.2.attn_q.bias"]
    with pytest.raises(ModelError, match=r"holds no blk\.2\.attn_q\.bias"):
        read(write_gguf(tmp_path / "m.gguf", "starcoder2", keys_of(hf), tensors))
