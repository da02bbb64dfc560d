"""What `load` takes, and how it refuses what would give wrong numbers: in one line that says what would work."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from planted import plant
from small_models import hf_model
from vitro.models import ModelError, find, load
from vitro.models.config import config_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound checkpoint, to be damaged."""
    return plant(tmp_path / "model")


def refused(name: Path | str, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        load(str(name), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_is_loaded_and_gives_its_own_logits(folder: Path) -> None:
    from transformers import GPT2LMHeadModel

    model, plain = load(str(folder)), GPT2LMHeadModel.from_pretrained(folder)
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(model.hf(tokens).logits, plain(tokens).logits)
    assert (model.shape.n_layers, model.shape.n_heads, model.shape.d_head) == (3, 4, 16)


def in_hub_layout(cache: Path, repo: str, commit: str, source: Path) -> None:
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    shutil.copytree(source, home / "snapshots" / commit)


@pytest.mark.parametrize("typed", ["someone/tiny", "someone/tiny@main"])
def test_a_hub_id_is_read_from_the_hubs_own_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    in_hub_layout(tmp_path / "hub", "someone/tiny", commit, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    checkpoint = find(typed)
    assert checkpoint.revision == commit
    assert checkpoint.folder == tmp_path / "hub" / "models--someone--tiny" / "snapshots" / commit
    assert load(typed).shape.n_layers == 3


def test_without_network_a_hub_id_says_so_and_names_what_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused("gpt2")
    assert "'gpt2'" in message
    assert "network" in message
    assert "smollm2, gemma3-270m, a local folder" in message


def test_an_unknown_name_says_what_works() -> None:
    assert "no such file or folder; what works: a hub id" in refused("./nowhere/at/all")
    assert "no such file or folder" in refused("missing.gguf")
    assert "no such file or folder" in refused("x" * 300)
    assert "no such file or folder" in refused("~nobody-has-this-name/model")


def test_a_folder_without_a_model_or_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "no weights" in refused(folder)


def test_pickles_are_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    assert "only pickled weights (pytorch_model.bin), which are never opened" in refused(folder)
    assert "kind that is not read" in refused(folder / "pytorch_model.bin")


@pytest.mark.parametrize("keep", [4, 200, 20_000])
def test_a_truncated_safetensors_file_is_named(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors is corrupt or truncated" in refused(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "the weight file model-00001-of-00002.safetensors is missing" in refused(folder)
    (folder / "model.safetensors.index.json").write_text("{")
    assert "model.safetensors.index.json: it is not valid JSON" in refused(folder)


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def damage(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_weights_are_not_filled_at_random(folder: Path) -> None:
    damage(folder, lambda weights: weights.pop("transformer.h.1.mlp.c_fc.weight"))
    assert "1 weights of the model that config.json describes are missing (transformer.h.1.mlp.c_fc.weight)" in refused(
        folder
    )


def test_a_configuration_of_another_shape_names_a_weight(folder: Path) -> None:
    configure(folder, n_inner=80)
    message = refused(folder)
    assert "9 weights have another shape than config.json says, transformer.h.0.mlp.c_fc.bias among them" in message
    assert "it is 256, and would be 80 by n_inner" in message


def test_sizes_that_no_model_has_are_blamed_on_the_configuration(folder: Path) -> None:
    configure(folder, n_head=5)
    message = refused(folder)
    assert "its configuration sets n_head to 5; Vitro reads divisors of n_embd (64) there" in message
    assert "safetensors" not in message


@pytest.mark.parametrize("left", [["tokenizer_config.json"], []])
def test_a_folder_without_a_tokenizer_says_so(folder: Path, left: list[str]) -> None:
    for file in folder.glob("tokenizer*"):
        if file.name not in left:
            file.unlink()
    message = refused(folder)
    assert message == f"model {str(folder)!r} has no tokenizer; its folder needs a tokenizer.json"


def test_a_model_spread_over_devices_is_refused(folder: Path) -> None:
    model = load(str(folder))
    model.hf.transformer.h[1].to("meta")
    with pytest.raises(ModelError, match=r"several devices \(cpu, meta\); Vitro runs a model on one"):
        type(model).of(model.hf, model.tokenizer)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_in_the_weights_names_the_layer(folder: Path, value: float) -> None:
    damage(folder, lambda weights: weights["transformer.h.2.attn.c_attn.bias"].fill_(value))
    assert "layer 2 (transformer.h.2.attn.c_attn.bias) hold NaN" in refused(folder)


def test_an_unknown_family_is_refused_with_where_the_known_ones_stand(folder: Path) -> None:
    configure(folder, model_type="mamba", architectures=["MambaForCausalLM"])
    assert "'mamba' is not known to Vitro, and no known one is like it; vitro models lists" in refused(folder)
    (folder / "config.json").write_text("{not json")
    assert "config.json: it is not valid JSON" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + bytes(40), b"GGUF" + b"\xff" * 200])
def test_a_damaged_gguf_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(content)
    assert "small.gguf" in refused(path)


def test_device_and_number_format_are_checked_first(folder: Path) -> None:
    assert "device 'abacus' is not known; what works: cpu" in refused(folder, device="abacus")
    assert "dtype 'float8' is not known; what works: float32" in refused(folder, dtype="float8")
    if not torch.cuda.is_available():
        assert "device 'cuda' is not on this machine" in refused(folder, device="cuda")


def saved(hf: Any, folder: Path, **more: Any) -> Path:
    """A small model in the hub's layout, with these weights beside its own and the planted model's tokenizer."""
    plant(folder)
    hf.save_pretrained(folder)
    damage(folder, lambda weights: weights.update(more))
    return folder


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("gpt2", "transformer.h.3.ln_1.weight"),
        # transformers keeps silent about these: their ends are those of GPT-2's and GPT-NeoX's old masks.
        ("gpt2", "transformer.h.3.attn.c_attn.bias"),
        ("gpt2", "transformer.h.0.crossattention.bias"),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias_k"),
        ("llama", "model.layers.0.self_attn.q_proj.bias"),
        ("llama", "model.layers.3.mlp.up_proj.weight"),
        ("llama", "model.layers.0.self_attn.q_norm.weight"),
        ("qwen2", "model.layers.0.self_attn.o_proj.bias"),
        ("llama", "lm_head.bias"),
    ],
)
def test_a_weight_without_a_place_is_refused_by_name(tmp_path: Path, model_type: str, name: str) -> None:
    message = refused(saved(hf_model(model_type), tmp_path / "model", **{name: torch.ones(4)}))
    assert f"holds 1 weights that the model made from config.json has no place for ({name})" in message


def test_many_weights_without_a_place_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    configure(saved(hf_model("llama"), tmp_path / "model"), num_hidden_layers=2)
    message = refused(tmp_path / "model")
    assert "holds 9 weights that the model made from config.json has no place for (model.layers.2.input_l" in message


@pytest.mark.parametrize(
    ("model_type", "names"),
    [
        ("gpt2", ["transformer.h.0.attn.bias", "transformer.h.2.attn.masked_bias", "h.1.attn.bias", "lm_head.weight"]),
        (
            "gpt_neox",
            [
                "gpt_neox.layers.0.attention.bias",
                "gpt_neox.layers.1.attention.masked_bias",
                "gpt_neox.layers.1.attention.rotary_emb.inv_freq",
            ],
        ),
        ("llama", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "score.weight"]),
    ],
)
def test_weights_that_are_known_to_be_none_are_harmless(tmp_path: Path, model_type: str, names: list[str]) -> None:
    hf = hf_model(model_type)
    weights = {name: torch.ones(4) for name in names}
    if "lm_head.weight" in names:
        weights["lm_head.weight"] = hf.transformer.wte.weight.clone()
    model = load(str(saved(hf, tmp_path / "model", **weights)))
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(model.hf(tokens).logits, hf(tokens).logits)


@pytest.mark.parametrize("rename", [{"transformer.": ""}, {"embed_out.": "lm_head."}, {"model.": ""}])
def test_weights_under_the_names_of_a_bare_body_or_of_another_release_have_a_place(
    tmp_path: Path, rename: dict[str, str]
) -> None:
    ((old, new),) = rename.items()
    model_type = {"transformer.": "gpt2", "embed_out.": "gpt_neox", "model.": "llama"}[old]
    hf = hf_model(model_type)
    folder = saved(hf, tmp_path / "model")

    def change(weights: dict[str, torch.Tensor]) -> None:
        assert any(name.startswith(old) for name in weights)
        for name in [name for name in weights if name.startswith(old)]:
            weights[new + name.removeprefix(old)] = weights.pop(name)

    damage(folder, change)
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(load(str(folder)).hf(tokens).logits, hf(tokens).logits)


def test_a_weight_that_stands_twice_is_refused(tmp_path: Path) -> None:
    message = refused(saved(hf_model("gpt2"), tmp_path / "model", **{"wpe.weight": torch.ones(32, 32)}))
    assert "holds a weight twice, as transformer.wpe.weight and as wpe.weight" in message


def in_shards(folder: Path, parts: dict[str, str] | None = None) -> Path:
    """The checkpoint cut into two files with an index; parts: what the index calls a file otherwise."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, files = sorted(weights), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    where = {name: files[number % 2] for number, name in enumerate(names)}
    for file in files:
        save_file({name: weights[name] for name in names if where[name] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: (parts or {}).get(file, file) for name, file in where.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_model_in_shards_is_its_shards(folder: Path) -> None:
    whole = load(str(folder))
    shards = find(str(in_shards(folder)))
    assert [path.name for path in shards.weights] == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name, weight in load(str(folder)).hf.named_parameters():
        assert torch.equal(weight, whole.hf.get_parameter(name))


@pytest.mark.parametrize("file", ["../model-00001-of-00002.safetensors", "sub/model.safetensors", "/model.safetensors"])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder: Path, file: str) -> None:
    in_shards(folder, {"model-00001-of-00002.safetensors": file})
    assert f"model.safetensors.index.json names {file!r}, which is no safetensors file in the folder" in refused(folder)


def test_an_index_beside_a_whole_model_is_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (in_shards(folder) / "model.safetensors").write_bytes(whole)
    assert "holds both model.safetensors and model.safetensors.index.json" in refused(folder)


@pytest.mark.parametrize("stray", ["shard-00000-model-00001-of-00001.safetensors", "model-00003-of-00003.safetensors"])
def test_weight_files_that_are_no_part_of_the_model_are_refused(folder: Path, stray: str) -> None:
    shutil.copy(folder / "model.safetensors", folder / stray)
    assert f"holds weight files that are no part of it ({stray})" in refused(folder)
    (folder / stray).rename(folder / "optimizer.safetensors")
    assert load(str(folder)).shape.n_layers == 3


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("alone", [True, False])
def test_an_adapter_that_is_not_merged_is_refused_with_what_to_do(folder: Path, file: str, alone: bool) -> None:
    if alone:
        (folder / "config.json").unlink()
    (folder / file).write_text("{}")
    assert f"adapter that is not merged into a model ({file}): merge it with peft's merge_and_unload()" in refused(
        folder
    )


def test_a_tokenizer_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"fast_tokenizer_files": ["../other/tokenizer.4.0.0.json"]}')
    assert "names a file that is not in the folder (../other/tokenizer.4.0.0.json)" in refused(folder)


def test_a_file_that_needs_a_package_names_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    assert "reading tokenizer.model needs packages that are not installed: pip install sentencepiece" in refused(folder)


def test_one_hash_stands_for_one_set_of_weights(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert find(str(folder)).weights_hash() == find(str(copy)).weights_hash()
    damage(copy, lambda weights: weights["transformer.wpe.weight"].mul_(2))
    assert find(str(folder)).weights_hash() != find(str(copy)).weights_hash()


def test_one_hash_stands_for_one_configuration_wherever_and_however_written(folder: Path, tmp_path: Path) -> None:
    before = config_hash(find(str(folder)))
    folder = shutil.copytree(folder, tmp_path / "copy")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=None, sort_keys=True))
    configure(folder, transformers_version="5.0.0", scale_attn_by_inverse_layer_idx=False)
    assert config_hash(find(str(folder))) == before
    configure(folder, layer_norm_epsilon=1e-3)
    assert config_hash(find(str(folder))) != before
    path.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: it is not valid JSON"):
        config_hash(find(str(folder)))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json", "tokenizer.5.0.json"])
def test_one_hash_stands_for_one_tokenizer_before_it_is_loaded(folder: Path, file: str) -> None:
    checkpoint, path = find(str(folder)), folder / file
    before = checkpoint.tokenizer_hash()
    configure(folder, n_ctx=10)
    assert checkpoint.tokenizer_hash() == before
    path.write_text((path.read_text() if path.is_file() else "{}") + "\n")
    assert checkpoint.tokenizer_hash() != before


def test_a_gguf_file_is_its_configuration_and_its_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    checkpoint = find(str(tmp_path / "tiny.gguf"))
    assert config_hash(checkpoint) == checkpoint.tokenizer_hash() == checkpoint.weights_hash()


def test_bfloat16_is_the_streams_format_and_logits_come_in_float32(folder: Path) -> None:
    from vitro.engine import sweep

    model = load(str(folder), dtype="bfloat16")
    logits = sweep(model, [[1, 2, 3]], [()], lambda finals: {"logits": finals.logits})["logits"]
    assert (model.dtype, logits.dtype) == (torch.bfloat16, torch.float32)


def test_a_folder_with_a_gguf_file_says_which_file_to_name(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"name the file: .*tiny\.gguf"):
        load(str(tmp_path))


def test_an_empty_name_is_no_model() -> None:
    with pytest.raises(ModelError, match="no model was named; what works: a hub id"):
        load("")
