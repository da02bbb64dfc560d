"""Texts and files that are no circuits, or circuits of a size that no model has: each is told in one line, at once."""

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from command import Vitro, refusal
from forked import forked, wrong
from vitro.circuits import Circuit, CircuitError, read_circuit, read_mib
from vitro.circuits.text import MOST
from vitro.models import Model

CFG = '{"cfg": {"n_layers": %s, "n_heads": %s, "parallel_attn_mlp": %s}, "nodes": %s, "edges": %s}'
TEXTS = {
    "ranges": "mean: " + ", ".join(f"a{i}.h0-9999" for i in range(100)) + "; resid_post0 -> logits",
    "the same range twice": "mean: a0.h0-9999; zero: a0.h0-9999; resid_post0 -> logits",
    "a range that runs backwards": "mean: a0.h9999-0; resid_post0 -> logits",
    "negative": "mean: a-1.h0; input -> logits",
    "other digits": "input -> m\u0663; m\u0663 -> logits",
    "a pin in other digits": "input -> a0.h0[\u0663]; a0.h0 -> logits",
    "a pin far away": "input -> a0.h0[999999]; a0.h0 -> logits",
    "layers that no model has": "input -> m99999999; m99999999 -> logits",
    "escapes": "input -> \x1b[31m",
    "zeros": "input\0 -> logits",
    "halves of characters": "input -> \ud800; \ud800 -> logits",
    "a word of ten megabytes": "input -> " + "a" * 10**7,
    "sources again and again": "input" + ", m0" * 10**5 + " -> logits",
    "arrows": "->" * 10**5,
    "marks of all kinds": ":;,<>[]#->" * 10**4,
}
FILES: dict[str, str | bytes] = {
    "lines.txt": "input -> m0\n" * 10**6,
    "remarks.txt": "# nothing\n" * 10**6,
    "readers.txt": "\n".join(f"input -> a{i % 10000}.h{i // 10000}" for i in range(10**5)),
    "mlps.txt": "\n".join(f"{', '.join(['input', *(f'm{i}' for i in range(j))])} -> m{j}" for j in range(700)),
    "utf16.txt": "input -> logits".encode("utf-16"),
    "empty.txt": "",
    "zeros.txt": "\0" * 1000,
    "lists.json": "[" * 100_000,
    "objects.json": '{"a":' * 5000,
    "null.json": "{}",
    "nan.json": CFG % ("NaN", 4, "false", "{}", "{}"),
    "text.json": CFG % ('"3"', 4, "false", "{}", "{}"),
    "negative.json": CFG % (-3, 4, "false", "{}", "{}"),
    "mlps_1150.json": CFG % (1150, 1, "false", "{}", "{}"),
    "mlps_3000.json": CFG % (3000, 0, "false", "{}", "{}"),
    "heads_3000.json": CFG % (1, 3000, "false", "{}", "{}"),
    "of_4000_digits.json": CFG % ("9" * 4000, 4, "false", "{}", "{}"),
    "of_5000_digits.json": CFG % ("9" * 5000, 4, "false", "{}", "{}"),
    "lists_for_objects.json": '{"cfg": [], "nodes": [], "edges": []}',
    "half.json": CFG % (3, 4, "false", '{"\\ud800": true}', "{}"),
    "neurons.json": CFG % (3, 4, "false", '{"m0": {"in_graph": true, "neurons": 5}}', "{}"),
    "in_graph.json": CFG % (3, 4, "false", "{}", '{"input->m0": {"in_graph": 1}}'),
    "score.json": CFG % (3, 4, "false", "{}", '{"input->m0": {"in_graph": true, "score": [1]}}'),
    "pickle.pt": pickle.dumps(print),
    "marks.pt": b"\x80\x05" + b"(" * 10**6,
    "zip.pt": b"PK\x03\x04" + b"\0" * 100,
}


def tensors(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_circuit_is_told_in_one_line(name: str) -> None:
    with pytest.raises(CircuitError) as error:
        Circuit.wire(TEXTS[name])
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_circuit_is_told_in_one_line(vitro: Vitro, tmp_path: Path, name: str) -> None:
    content = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(tmp_path / name) in refusal(vitro("circuit", str(tmp_path / name), "days", "--model", "none"))


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(3),
        {"a": 1},
        [1, 2],
        {"cfg": 5, "src_nodes": None, "dst_nodes": None, "edges_in_graph": torch.zeros(3, 3).to_sparse()},
        {
            "cfg": {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False},
            "src_nodes": torch.zeros(3),
            "dst_nodes": ["a"] * 10,
            "edges_in_graph": torch.zeros(2),
        },
    ],
)
def test_tensors_that_are_no_graph_are_told_in_one_line_whole_cut_and_changed(tmp_path: Path, value: Any) -> None:
    content = tensors(value)
    half = len(content) // 2
    for number, changed in enumerate((content, content[:-50], content[:half] + b"\xff" + content[half + 1 :])):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(changed)
        with pytest.raises(CircuitError, match=str(path)):
            read_mib(path)


def test_components_that_the_model_has_not_are_told_before_anything_is_run(
    planted_folder: Path, planted_model: Model
) -> None:
    for text in ("mean: a0.h0-9999; resid_post0 -> logits", "input -> m2999; m2999 -> logits"):
        done = forked("circuit", text, "days", "--model", str(planted_folder))
        assert wrong(done) == ""
        assert "in this model: its heads are a0.h0 to a2.h3" in done.err


def test_a_circuit_as_large_as_may_be_is_read_in_seconds(tmp_path: Path) -> None:
    sources = [f"m{i}" for i in range(400)]
    text = "\n".join(f"{', '.join(['input', *sources[:i]])} -> m{i}" for i in range(400)) + "\nm399 -> logits"
    path = tmp_path / "large.txt"
    path.write_text(text)
    assert 80_000 < len(read_circuit(path).edges) < MOST
