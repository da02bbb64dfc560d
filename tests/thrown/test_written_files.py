"""Names of files that are written when all is measured: one that will not do is refused before anything is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from command import Vitro, refusal

WIRED = ("circuit", "input -> a0.h2[4]; a0.h2 -> logits", "days")
COMMANDS = {
    "curve": ("curve", "days", "--figure", ".svg"),
    "drawing": (*WIRED, "--drawing", ".svg"),
    "export": (*WIRED, "--export", ".json"),
    "successor": ("successor", "--out", ".html"),
    "reproduce": ("reproduce", "--out", ".html"),
}
"""Each with its option and what it writes."""
NAMES: dict[str, Callable[[Path, str], Path]] = {
    "of another kind": lambda folder, _: folder / "x.gif",
    "without a kind": lambda folder, _: folder / "x",
    "a folder": lambda folder, suffix: _folder(folder / f"x{suffix}"),
    "in a file": lambda folder, suffix: _file(folder / "file") / f"x{suffix}",
    "of a long name": lambda folder, suffix: folder / f"{'x' * 300}{suffix}",
    "in a folder of a long name": lambda folder, suffix: folder / ("x" * 300) / f"x{suffix}",
}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _file(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_file_that_cannot_be_written_is_refused_before_a_model_is_asked_for(
    command: tuple[str, ...], name: Callable[[Path, str], Path], vitro: Vitro, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    *words, suffix = command
    path = name(tmp_path, suffix)
    there = sorted(tmp_path.rglob("*"))
    # The model is none either, which would be said next.
    refused = refusal(vitro(*words, str(path), "--model", "no/such/model.gguf"))
    assert "model" not in refused
    assert path.name in refused or "file" in refused
    assert sorted(tmp_path.rglob("*")) == there
