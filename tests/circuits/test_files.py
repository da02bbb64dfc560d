"""Circuits in files of every kind, told apart by what is in them; what is no file is told in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from circuits.mib_files import WIDTH, saved, tensors
from vitro.circuits import Circuit, CircuitError, Graph, from_text, read_circuit, to_circuit_file
from vitro.circuits.file_bytes import LARGEST

GRAPH = Graph(3, 4, parallel=False)
WITHIN = Circuit.wire("absent: mean; input -> m0; input, m0 -> a1.h1<v>; a1.h1 -> logits")


def test_a_circuit_is_read_from_text_json_and_tensors_whatever_the_files_name(tmp_path: Path) -> None:
    mask = GRAPH.mask(WITHIN.edges)
    path = tmp_path / "circuit"
    for content in (
        str(WITHIN),
        "\ufeff" + str(WITHIN) + "\n",
        json.dumps(to_circuit_file(GRAPH, mask, WIDTH), indent=1),
    ):
        path.write_text(content, "utf-8")
        absent: Any = None if "absent" in content else "mean"
        assert read_circuit(path, absent) == read_circuit(str(path), absent) == WITHIN
    saved(path, tensors(GRAPH, mask, mask.astype(float)))
    assert read_circuit(path, "mean") == WITHIN


def test_without_a_word_on_absent_edges_a_circuit_is_in_vitro(tmp_path: Path) -> None:
    wired = Circuit.wire("input -> m0; m0 -> logits")
    (tmp_path / "text").write_text(str(wired))
    (tmp_path / "json").write_text(json.dumps(to_circuit_file(GRAPH, GRAPH.mask(wired.edges), WIDTH)))
    for name in ("text", "json"):
        assert read_circuit(tmp_path / name) == wired
        assert read_circuit(tmp_path / name, "zero") == Circuit.wire(f"absent: zero; {wired}")


def test_what_absent_edges_carry_is_not_said_twice() -> None:
    with pytest.raises(CircuitError, match="line 3: what absent edges carry is said already: mean"):
        from_text("absent: mean\ninput -> logits", "zero")


def test_a_mistake_in_a_file_is_told_with_its_name_and_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("input -> m0\nm0 -> logit")
    with pytest.raises(CircuitError, match=r"/text: circuit, line 2: 'logit' is not a component"):
        read_circuit(tmp_path / "text", "mean")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no such file"),
        (Path.mkdir, "it is a folder, not a file"),
        (pipe, "it is a pipe or device, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or device, not a file"),
        (sparse, "it has 512 MB, and 512 MB at most are read"),
        (Path.touch, "the circuit is empty"),
        (lambda path: path.write_text(" \n"), "the circuit is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "it is no circuit: neither text in UTF-8 nor"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n"), "it is no circuit"),
        (lambda path: path.write_text("{"), "it is not valid JSON"),
        (lambda path: path.write_text("[]"), "a circuit of EAP-IG or MIB has cfg"),
        (lambda path: path.write_text("a poem"), "circuit, line 1: 'a poem' should be sources -> readers"),
    ],
)
def test_what_holds_no_circuit_is_told_in_a_line(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "circuit"
    make(path)
    with pytest.raises(CircuitError, match=words) as told:
        read_circuit(path)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(path))


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_told_in_a_line(name: str) -> None:
    with pytest.raises(CircuitError):
        read_circuit(name)
