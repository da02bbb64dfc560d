"""Tokenizers that fail when they are read or used, or need what is not there: told in one line, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from bad_checkpoints import configure, read, refused, sound
from fuzz.folders import WORDS
from vitro.models import ModelError, load
from vitro.tasks import TaskError
from vitro.tasks.tokenizer import encode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sound(tmp_path / "model")


TOKENIZERS: dict[str, tuple[dict[str, Any], str]] = {
    "a panic when it is read": (
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}},
        "its tokenizer (tokenizer.json, tokenizer_config.json) cannot be read (PanicException",
    ),
    "another panic": (
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        "cannot be read (PanicException",
    ),
    # tokenizers prints the name of the key on standard output.
    "a key that is none": (
        {"model": None, "added_tokens": [{"id": 0, "content": "[UNK]", "num_labels": 3}]},
        "cannot be",
    ),
    "no model": ({"model": None}, "its tokenizer (tokenizer.json, tokenizer_config.json) cannot be read"),
    "a model that is none": ({"model": {"type": "Sphinx"}}, "cannot be read"),
    "no tokens": ({"added_tokens": 5}, "cannot be read"),
}


@pytest.mark.parametrize("fault", TOKENIZERS)
def test_a_tokenizer_that_fails_is_named_and_says_nothing_else(
    folder: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fields, words = TOKENIZERS[fault]
    assert words in refused(configure(folder, "tokenizer.json", **fields))
    # A panic in Rust writes to the process's own stderr.
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_without_a_token_for_what_it_does_not_know_is_read_and_says_so_of_a_text(tmp_path: Path) -> None:
    model = sound(tmp_path / "model", tokenizer="pieces")
    path = model / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"]["unk_id"] = None
    said["model"]["vocab"] += [[letter, -9.0] for letter in sorted(set(WORDS) - {" "})]
    path.write_text(json.dumps(said))
    tokenizer = read(model).tokenizer
    (encoded,) = encode(tokenizer, [WORDS])
    assert encoded.ids
    with pytest.raises(TaskError, match="the model's tokenizer fails on 'snow ☃'"):
        encode(tokenizer, [WORDS, "snow ☃"])


def test_a_limit_that_is_no_number_is_refused(folder: Path) -> None:
    assert read(configure(folder, "tokenizer_config.json", model_max_length=None)).shape.n_layers == 3
    configure(folder, "tokenizer_config.json", model_max_length="a word")
    assert "tokenizer_config.json sets model_max_length to 'a word'; it must be a number" in refused(folder)


def test_ctrl_c_while_a_tokenizer_is_read_is_no_fault_of_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(folder)


SENTENCEPIECE = b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            SENTENCEPIECE,
            "reading tokenizer.model needs packages that are not installed: pip install sentencepiece proto",
        ),
        (b"IQ== 0\nIg== 1\n", "reading tokenizer.model needs packages that are not installed: pip install tiktoken"),
        (b"<html>404</html>", "tokenizer.model is neither a model of sentencepiece nor a vocabulary of tiktoken"),
        (b"", "tokenizer.model is neither a model of sentencepiece nor a vocabulary of tiktoken"),
    ],
)
def test_a_vocabulary_of_another_library_says_what_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(content)
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    assert words in refused(folder)


def test_a_vocabulary_that_is_cut_short_is_not_taken_for_another_librarys(folder: Path) -> None:
    pytest.importorskip("sentencepiece")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(SENTENCEPIECE[:7])
    with pytest.raises(ModelError, match=r"tokenizer\.model is cut short or damaged \(sentencepiece cannot read it\)"):
        load(folder)
