"""Parts of a long run are found by the same run alone, and only as it left them."""

from pathlib import Path

import polars as pl
import pytest

from vitro.experiments import Tables
from vitro.parts import Parts, kept_beside

RUN = {"weights": "a", "options": {"seed": 0}}


def tables(value: int) -> Tables:
    return {"one": pl.DataFrame({"x": [value]}), "other": pl.DataFrame({"y": [[value]], "z": ["a"]})}


def fail() -> Tables:
    raise AssertionError("made anew")


def stop() -> Tables:
    raise KeyboardInterrupt


def made_anew(parts: Parts, name: str) -> bool:
    """Whether the part is made, not found."""
    return bool(parts(name, lambda: {"one": pl.DataFrame({"x": [-1]})})["one"]["x"].item() == -1)


def test_a_part_is_found_as_it_was_left(tmp_path: Path) -> None:
    Parts.of(tmp_path / "run[1]", RUN)("edges/0", lambda: tables(3))
    part = Parts.of(tmp_path / "run[1]", RUN)("edges/0", fail)
    assert list(part) == ["one", "other"]
    assert all(part[name].equals(frame) for name, frame in tables(3).items())


def test_a_part_of_another_run_or_version_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Parts.of(tmp_path, RUN)("edges/0", lambda: tables(3))
    monkeypatch.setattr("vitro.parts.version", lambda name: "0.0.0")
    assert made_anew(Parts.of(tmp_path, RUN), "edges/0")
    monkeypatch.undo()
    assert made_anew(Parts.of(tmp_path, {**RUN, "weights": "b"}), "edges/0")


def test_a_part_that_was_swapped_cut_short_or_changed_is_made_anew(tmp_path: Path) -> None:
    parts = Parts.of(tmp_path, RUN)
    first, second = tmp_path / "edges" / "0.part", tmp_path / "edges" / "1.part"
    for name in ("edges/0", "edges/1", "edges/2", "edges/3"):
        parts(name, lambda: tables(3))
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    third, fourth = tmp_path / "edges" / "2.part", tmp_path / "edges" / "3.part"
    third.write_bytes(third.read_bytes()[:-9])
    content = bytearray(fourth.read_bytes())
    content[len(content) // 2] ^= 1
    fourth.write_bytes(content)
    assert [made_anew(parts, f"edges/{number}") for number in range(4)] == [True] * 4


def test_only_the_parts_of_what_is_finished_go(tmp_path: Path) -> None:
    parts = Parts.of(tmp_path / "parts", RUN)
    parts("edges/0", lambda: tables(0))
    parts("other/0", lambda: tables(1))
    parts.remove("other")
    parts("edges/0", fail)
    parts.remove("edges")
    assert not (tmp_path / "parts").exists()


def test_parts_beside_a_page_stay_until_it_is_written(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    with pytest.raises(KeyboardInterrupt), kept_beside(page, RUN) as part:
        part("days/clean", stop)
    assert not (tmp_path / "new").exists()
    with pytest.raises(KeyboardInterrupt), kept_beside(page, RUN) as part:  # noqa: PT012 (the first is kept)
        part("days/clean", lambda: tables(3))
        part("days/head_lens", stop)
    with kept_beside(page, RUN) as part:
        part("days/clean", fail)
        page.write_text("done")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
