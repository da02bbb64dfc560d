"""What was made of a GGUF file is read again in place of the file, and never where it is not what was written."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from command import Vitro
from gguf_files import keys_of, tensors_of, write_gguf
from small_models import hf_model
from vitro.models import Model, ModelError, find, load, load_tokenizer
from vitro.models.cache import contents, keep, kept
from vitro.models.cache_place import cache_folder

TEXT = "AB, CD: -7<eos>"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITRO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def gguf_file(tmp_path: Path, name: str = "llama", **options: Any) -> Path:
    """A file with packed weights: those that are not packed are read as fast as they would be from the cache."""
    sizes = {"n_embd": 32} if name == "gpt2" else {"hidden_size": 96, "intermediate_size": 64}
    hf = hf_model(name, **sizes)
    return write_gguf(tmp_path / "m.gguf", name, keys_of(hf.config), tensors_of(hf), **{"kind": Kind.Q8_0, **options})


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, neither weights nor tokenizers are read from GGUF files."""
    for name in ("gguf.weights._unpacked", "gguf.tokenizer._made"):
        monkeypatch.setattr(f"vitro.models.{name}", lambda *_: pytest.fail("the file was read again"))


def assert_same(one: Model, other: Model) -> None:
    weights, others = one.hf.state_dict(), other.hf.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert all(weights[name].stride() == others[name].stride() for name in weights)
    assert one.tokenizer(TEXT) == other.tokenizer(TEXT)


@pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str, dtype: str) -> None:
    path = gguf_file(tmp_path, tokenizer=tokenizer)
    first = load(str(path), dtype=dtype)
    forbid_reading(monkeypatch)
    assert_same(load(str(path), dtype=dtype), first)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_what_is_kept_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    path = gguf_file(tmp_path, name)
    assert_same(load(str(path)), load(str(path)))
    assert [one.part for one in contents()] == ["tokenizer", "weights"]


@pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
def test_a_kept_tokenizer_is_the_one_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str
) -> None:
    path = gguf_file(tmp_path, tokenizer=tokenizer)
    made, n_ctx = load_tokenizer(find(str(path)))
    assert [one.part for one in contents()] == ["tokenizer"]
    forbid_reading(monkeypatch)
    read, n_ctx_read = load_tokenizer(find(str(path)))
    assert n_ctx_read == n_ctx == 32
    assert read.backend_tokenizer.to_str() == made.backend_tokenizer.to_str()
    assert read(TEXT) == made(TEXT)
    assert read.decode(read(TEXT).input_ids) == made.decode(made(TEXT).input_ids)
    assert read.special_tokens_map == made.special_tokens_map
    assert type(read) is type(made)


def cut_short(folder: Path) -> None:
    for path in folder.glob("*/*.*"):
        path.write_bytes(path.read_bytes()[:-1])


def changed(folder: Path) -> None:
    for path in folder.glob("*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    for path in folder.glob("*/tokenizer.json"):
        path.write_bytes(path.read_bytes().replace(b'"-"', b'"~"'))


def a_file_too_many(folder: Path) -> None:
    for path in folder.iterdir():
        (path / "added_tokens.json").write_text('{"AB": 3}')


def nothing_left(folder: Path) -> None:
    for path in folder.glob("*/*.*"):
        path.unlink()


def nonsense(folder: Path) -> None:
    for path in folder.glob("*/kept.json"):
        path.write_text("[1]")


def by_another_version(folder: Path) -> None:
    for path in folder.glob("*/kept.json"):
        about = json.loads(path.read_text())
        path.write_text(json.dumps(about | {"made_by": about["made_by"] | {"transformers": "5.0.0"}}))


@pytest.mark.parametrize(
    "damage", [cut_short, changed, a_file_too_many, nothing_left, nonsense, by_another_version, shutil.rmtree]
)
def test_what_is_damaged_or_gone_is_made_anew(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    path = gguf_file(tmp_path)
    first = load(str(path))
    damage(cache)
    assert_same(load(str(path)), first)
    forbid_reading(monkeypatch)
    assert_same(load(str(path)), first)


def test_another_file_of_the_same_name_is_another_file(tmp_path: Path) -> None:
    first = load(str(gguf_file(tmp_path)))
    other = load(str(gguf_file(tmp_path, kind=Kind.Q4_0)))
    assert not torch.equal(other.w_unembed, first.w_unembed)


def test_weights_that_are_not_packed_are_not_kept(tmp_path: Path) -> None:
    load(str(gguf_file(tmp_path, kind=Kind.F16)))
    assert [one.part for one in contents()] == ["tokenizer"]


def test_without_a_place_for_the_cache_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = gguf_file(tmp_path)
    first = load(str(path))
    (tmp_path / "a file").write_text("")
    for place in (tmp_path / "a file", tmp_path / "a file" / "cache", "~nosuchuser/cache", "/proc/vitro"):
        monkeypatch.setenv("VITRO_CACHE", str(place))
        assert_same(load(str(path)), first)
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_keeps_nothing_and_loads(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(weights: Any, path: Path) -> None:
        path.write_bytes(b"the beginning")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = gguf_file(tmp_path)
    monkeypatch.setattr("vitro.models.gguf.weights.save_file", full)
    assert load(str(path)).shape.n_layers == 3
    assert [one.part for one in contents()] == ["tokenizer"]
    assert len(list(cache.iterdir())) == 1


def test_what_was_interrupted_leaves_nothing_that_is_believed(tmp_path: Path, cache: Path) -> None:
    checkpoint = find(str(gguf_file(tmp_path)))

    def interrupted(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"the beginning")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(checkpoint, "weights", ["torch"], interrupted)
    assert kept(checkpoint, "weights", ["torch"]) is None
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_removed_when_it_is_old(tmp_path: Path, cache: Path) -> None:
    checkpoint = find(str(gguf_file(tmp_path)))
    old, new = cache / ".unfinished-old", cache / ".unfinished-new"
    for folder in (old, new):
        (folder / "new").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert kept(checkpoint, "weights", ["torch"]) is None
    assert not old.exists()
    assert new.exists()
    keep(checkpoint, "weights", ["torch"], lambda folder: (folder / "a").write_text("1"))
    os.utime(new, (0, 0))
    # Also where nothing is left to be kept.
    assert kept(checkpoint, "weights", ["torch"]) is not None
    assert not new.exists()
    assert [one.file for one in contents()] == ["m.gguf"]


def test_two_processes_that_keep_the_same_at_once_leave_it_whole(tmp_path: Path) -> None:
    checkpoint = find(str(gguf_file(tmp_path)))

    def fill(folder: Path) -> None:
        (folder / "a").write_text("1")

    def beside(folder: Path) -> None:
        fill(folder)
        keep(checkpoint, "weights", ["torch"], fill)

    keep(checkpoint, "weights", ["torch"], beside)
    folder = kept(checkpoint, "weights", ["torch"])
    assert folder is not None
    assert (folder / "a").read_text() == "1"


def test_the_cache_lies_where_the_platform_keeps_such_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("VITRO_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path("/home/me/.cache/vitro")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/vitro")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/me/Library/Caches/vitro")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/vitro")
    monkeypatch.setenv("VITRO_CACHE", "~/mine")
    assert cache_folder() == Path("/home/me/mine")
    monkeypatch.setenv("VITRO_CACHE", "~nosuchuser/mine")
    with pytest.raises(ModelError, match="set VITRO_CACHE to a folder"):
        cache_folder()


def test_the_command_line_tells_where_the_cache_is_and_what_it_holds(tmp_path: Path, cache: Path, vitro: Vitro) -> None:
    assert json.loads(vitro("models", "--cache", "--json").out) == {"folder": str(cache), "kept": [], "size": 0}
    load(str(gguf_file(tmp_path)))
    told = json.loads(vitro("models", "--cache", "--json").out)
    assert [(one["file"], one["part"]) for one in told["kept"]] == [("m.gguf", "tokenizer"), ("m.gguf", "weights")]
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert told["size"] == sum(one["size"] for one in told["kept"]) == size
    shown = vitro("models", "--cache").out
    assert "m.gguf" in shown
    assert shown.splitlines()[-1] == str(cache)
