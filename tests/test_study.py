"""A study's folder: resumable at any time, never a mix, and the same bytes for the same seed."""

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import families_llama
from small_models import filled_model
from vitro.circuits import cut_edges
from vitro.engine import MemoryBudgetError
from vitro.errors import VitroError
from vitro.experiments import EVERY_STUDY, EXPERIMENTS, Experiment, Options
from vitro.folder import FolderError, write_file
from vitro.models import Model, ModelError, load_checkpoint
from vitro.parts import to_parquet
from vitro.record import FORMAT, Study, StudyError
from vitro.study import open_study, run_study, write_report
from vitro.study_page import summary
from vitro.tasks import TaskError, days, months, numbers

OPTIONS = Options(samples=8)


def contents(folder: Path) -> dict[str, bytes]:
    """All that a study's numbers and pictures are: every file but the record of when it was made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".parquet", ".svg")
    }


@pytest.fixture(scope="module")
def finished(planted_folder: Path, planted_model: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study of the planted model."""
    folder = tmp_path_factory.mktemp("studies") / "days"
    run_study(str(planted_folder), days(), folder, OPTIONS)
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn, which takes longer than all that is measured: figures and page are made of the tables alone."""
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)


def tables(folder: Path) -> dict[str, bytes]:
    """All numbers of a study that was not drawn."""
    return {name: held for name, held in contents(folder).items() if name.endswith(".parquet")}


def test_a_study_holds_record_tables_figures_and_report(finished: Path) -> None:
    study = open_study(finished)
    assert set(study.record.experiments) == set(EVERY_STUDY)
    assert {path.stem for path in (finished / "tables").iterdir()} == {
        table for name in EVERY_STUDY for table in EXPERIMENTS[name].tables
    }
    assert (finished / "figures" / "clean.svg").read_text().startswith("<svg")
    report = study.report.read_text()
    for name in EVERY_STUDY:
        assert EXPERIMENTS[name].title in report
    first, second, *_ = summary(study)
    assert f'<a href="#{first.at}">{EXPERIMENTS[first.at].title}</a> <span>{first.text}</span>' in report
    assert "a1.h1" in second.text
    assert sorted(path.name for path in finished.iterdir()) == ["figures", "report.html", "study.json", "tables"]


def test_the_same_seed_gives_the_same_bytes(finished: Path, planted_folder: Path, tmp_path: Path) -> None:
    run_study(str(planted_folder), days(), tmp_path / "again", OPTIONS)
    assert contents(tmp_path / "again") == contents(finished)


def test_a_finished_study_is_not_measured_again(
    finished: Path, planted_folder: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study.load_checkpoint", lambda *args, **options: pytest.fail("the model was loaded"))
    before = (finished / "study.json").read_bytes()
    run_study(str(planted_folder), days(), finished, OPTIONS)
    assert (finished / "study.json").read_bytes() == before


def test_a_study_stopped_after_any_experiment_goes_on_to_the_same_result(
    finished: Path, planted_folder: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(BaseException):
        pass

    def stop(*args: object) -> None:
        raise StoppedError

    out = tmp_path / "stopped"
    # In turn: at the first, at one whose tables others are made of, and near the end.
    for name in ("prompts", "head_lens", "steering"):
        experiment = EXPERIMENTS[name]
        monkeypatch.setitem(EXPERIMENTS, name, Experiment(**{**vars(experiment), "run": stop}))
        with pytest.raises(StoppedError):
            run_study(str(planted_folder), days(), out, OPTIONS)
        monkeypatch.setitem(EXPERIMENTS, name, experiment)
    run_study(str(planted_folder), days(), out, OPTIONS)
    assert tables(out) == tables(finished)


def test_killed_at_any_time_a_study_goes_on_to_the_same_result(
    finished: Path, planted_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "vitro.cli", "study", "days", "--model", str(planted_folder)]
    command += ["--out", str(out), "--samples", "8"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    # As soon as it has begun to write, which is in the middle of things.
    while not (out / "tables").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run_study(str(planted_folder), days(), out, OPTIONS)
    assert contents(out) == contents(finished)
    assert not list(out.rglob(".unfinished-*"))


def stopped_at_the_second_block(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Edges are stopped once, when they come to their second block; the blocks that are asked for, as they are."""
    asked: list[int] = []

    def limited(model: Any, prompts: Any, layer: int, *rest: Any, **options: Any) -> Any:
        asked.append(layer)
        if asked == [0, 1]:
            raise KeyboardInterrupt
        return cut_edges(model, prompts, layer, *rest, **options)

    monkeypatch.setattr("vitro.experiments.edges.cut_edges", limited)
    return asked


def test_edges_are_added_to_a_study_and_go_on_block_by_block(
    finished: Path, planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "days"
    shutil.copytree(finished, folder)
    asked = stopped_at_the_second_block(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_study(str(planted_folder), days(), folder, OPTIONS, experiments=["edges"])
    study = run_study(str(planted_folder), days(), folder, OPTIONS, experiments=["edges"])
    assert asked == [0, 1, 1, 2, 3]
    assert not (folder / "parts").exists()
    assert {**contents(finished)}.items() <= contents(folder).items()
    assert "Edges, each cut alone" in study.report.read_text()
    once = run_study(str(planted_folder), days(), tmp_path / "once", OPTIONS, experiments=["edges"])
    assert once.table("edges").equals(study.table("edges"))


def test_scores_are_added_to_a_study_and_compared_anew_even_after_a_stop(
    planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*names: str) -> Study:
        return run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=names)

    def compared(study: Study) -> list[str]:
        return study.table("edges_agreement")["by"].unique(maintain_order=True).to_list()

    assert compared(add("edges", "edges_eap", "edges_agreement")) == ["eap"]
    exact = contents(tmp_path)["tables/edges.parquet"]
    with monkeypatch.context() as patched:
        patched.setattr("vitro.experiments.edges_agreement.edge_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            add("edges_random")
    study = add("edges_random")
    assert compared(study) == ["eap", "random"]
    assert contents(tmp_path)["tables/edges.parquet"] == exact
    shown = study.tables(EXPERIMENTS["edges_agreement"])
    assert shown["seconds"].filter(experiment="edges_random")["seconds"][0] > 0
    before = (tmp_path / "study.json").read_text()
    add("edges_random")
    assert (tmp_path / "study.json").read_text() == before


def stop(*given: object) -> None:
    raise KeyboardInterrupt


def test_a_changed_setting_is_refused_by_its_name(finished: Path, planted_folder: Path) -> None:
    before = contents(finished)
    for task, options, says in (
        (days(), Options(samples=9), "its samples is '8', not '9'"),
        (days(), Options(samples=8, seed=1), "its seed is '0', not '1'"),
        (days(), Options(samples=8, value_bias="included"), "its value bias is 'excluded'"),
        (months(), OPTIONS, "its task is 'days', not 'months'"),
    ):
        with pytest.raises(StudyError, match=says):
            run_study(str(planted_folder), task, finished, options)
    assert contents(finished) == before


def test_another_memory_budget_may_finish_a_study(finished: Path, planted_folder: Path, undrawn: None) -> None:
    run_study(str(planted_folder), days(), finished, Options(samples=8, memory=10**9))


def test_a_report_is_drawn_again_without_the_model(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    monkeypatch.setattr("vitro.study.load_checkpoint", lambda *args, **options: pytest.fail("the model was loaded"))
    write_report(finished)
    assert (finished / "report.html").read_bytes() == before


def test_what_cannot_be_is_refused_before_anything_is_written(planted_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    with pytest.raises(ModelError):
        run_study("./nowhere", days(), out)
    with pytest.raises(TaskError):
        run_study(str(planted_folder), numbers(10), out)
    with pytest.raises(MemoryBudgetError):
        run_study(str(planted_folder), days(), out, Options(memory=1))
    assert not out.exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match="is a file"):
        run_study(str(planted_folder), days(), tmp_path / "file")
    with pytest.raises(FolderError, match="is a file"):
        run_study(str(planted_folder), days(), tmp_path / "file" / "below")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(StudyError, match=r"holds no study \(thesis.tex\)"):
        run_study(str(planted_folder), days(), tmp_path / "full")
    (tmp_path / "data" / "tables").mkdir(parents=True)
    (tmp_path / "data" / "tables" / "mine.csv").write_text("mine")
    with pytest.raises(StudyError, match=r"holds no study \(tables/mine.csv\)"):
        run_study(str(planted_folder), days(), tmp_path / "data")
    with pytest.raises(FolderError, match="cannot be written"):
        run_study(str(planted_folder), days(), tmp_path / ("n" * 300))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_place_that_cannot_be_written_is_named(planted_folder: Path) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc, a folder that not even root may write to")
    with pytest.raises(FolderError, match="/proc/vitro cannot be written"):
        run_study(str(planted_folder), days(), "/proc/vitro")


def test_a_damaged_record_and_a_missing_study_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study"):
        open_study(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(StudyError, match="damaged"):
        open_study(tmp_path)
    for number, whose in ((1, "an older"), (FORMAT - 1, "an older"), (99, "a newer")):
        (tmp_path / "study.json").write_text(json.dumps({"format": number}))
        with pytest.raises(StudyError, match=rf"has format {number}, of {whose} vitro.*remove .* to measure anew"):
            open_study(tmp_path)


def test_a_table_that_the_study_did_not_write_is_named_on_every_read(
    finished: Path, planted_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import polars as pl

    copy = shutil.copytree(finished, tmp_path / "copy")
    table = copy / "tables" / "clean.parquet"
    pl.read_parquet(table).with_columns(pl.lit(0).alias("answer_rank")).write_parquet(table)
    reads: list[Callable[[], object]] = [
        lambda: open_study(copy).table("clean"),
        lambda: write_report(copy),
        lambda: run_study(str(planted_folder), days(), copy, OPTIONS),
        lambda: run_study(str(planted_folder), days(), copy, OPTIONS, experiments=["edges_eap"]),
    ]
    for read in reads:
        with pytest.raises(StudyError, match=r"clean.parquet is not what the study wrote: .* remove it and give"):
            read()
    table.write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=r"clean.parquet is not what the study wrote"):
        write_report(copy)
    table.unlink()
    with pytest.raises(StudyError, match=r"clean.parquet: there is no such file"):
        write_report(copy)
    request.getfixturevalue("undrawn")
    run_study(str(planted_folder), days(), copy, OPTIONS)
    assert contents(copy) == contents(finished)
    with pytest.raises(StudyError, match=r"holds no table 'nix'; it holds .*clean"):
        open_study(copy).table("nix")


def test_a_folder_whose_name_is_a_pattern_is_read_itself(
    planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    three = dataclasses.replace(days(), n=3)
    model = str(shutil.copytree(planted_folder, tmp_path / "model[1]*[/b]"))
    run_study(model, days(), tmp_path / "run1", OPTIONS, experiments=["clean"])
    for name in ("run[1]", "run*[/b]{a}"):
        run_study(model, three, tmp_path / name, OPTIONS, experiments=["clean"])
        # Gone on with: what is there is read, and shown.
        run_study(model, three, tmp_path / name, OPTIONS, experiments=["prompts"])
        write_report(tmp_path / name)
        assert len(open_study(tmp_path / name).table("clean")) == 3


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("config.json", {"layer_norm_epsilon": 1e-3}, "its config sha256 is"),
        ("tokenizer_config.json", {"clean_up_tokenization_spaces": True}, "its tokenizer sha256 is"),
    ],
)
def test_a_model_whose_files_were_corrected_is_another_study(
    planted_folder: Path, planted_model: object, tmp_path: Path, file: str, change: dict[str, Any], says: str
) -> None:
    model, out = shutil.copytree(planted_folder, tmp_path / "model"), tmp_path / "study"
    run_study(str(model), days(), out, OPTIONS, experiments=["prompts"])
    path = model / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    # Of a finished study and of one to go on with.
    for asked in (["prompts"], ["clean"]):
        with pytest.raises(StudyError, match=says):
            run_study(str(model), days(), out, OPTIONS, experiments=asked)


def test_another_number_format_is_another_study(finished: Path, planted_folder: Path) -> None:
    with pytest.raises(StudyError, match="its dtype is 'float32', not 'bfloat16'"):
        run_study(str(planted_folder), days(), finished, OPTIONS, dtype="bfloat16")


def test_a_slow_loader_does_not_undo_what_another_finished(
    planted_folder: Path, planted_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, out = load_checkpoint, tmp_path / "study"

    def slow(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr("vitro.study.load_checkpoint", loads)
        with pytest.raises(FolderError, match="being written by another vitro"):
            run_study(str(planted_folder), days(), out, OPTIONS, experiments=["prompts"])
        return loads(*given, **options)

    monkeypatch.setattr("vitro.study.load_checkpoint", slow)
    run_study(str(planted_folder), days(), out, OPTIONS, experiments=["clean"])
    # The prompts come along, since the clean answers are shown with them.
    assert list(open_study(out).record.experiments) == ["prompts", "clean"]


def test_a_study_leaves_the_parts_of_unfinished_edges(
    planted_folder: Path, planted_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stopped_at_the_second_block(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["edges"])
    for asked_for in ("prompts", "edges"):
        run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=[asked_for])
    assert asked == [0, 1, 1, 2, 3]


def test_a_folder_removed_half_way_is_filled_again(finished: Path, planted_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    for gone in ("study.json", "tables"):
        (copy / gone).unlink() if gone == "study.json" else shutil.rmtree(copy / gone)
    run_study(str(planted_folder), days(), copy, OPTIONS, experiments=["prompts"])
    assert (copy / "study.json").is_file()
    # A page or a picture that is not a study's is somebody else's.
    for name in ("report.html", "figures/mine.svg", "parts/mine"):
        (path := tmp_path / name.replace("/", "-") / name).parent.mkdir(parents=True)
        path.write_text("mine")
        with pytest.raises(StudyError, match=rf"holds no study \({name}\)"):
            run_study(str(planted_folder), days(), tmp_path / name.replace("/", "-"), OPTIONS)
        assert path.read_text() == "mine"


def test_a_table_of_edges_that_is_gone_does_not_stop_the_study(
    planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["prompts", "edges_eap"])
    (tmp_path / "tables" / "edges_eap.parquet").unlink()
    study = run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["prompts"])
    assert list(study.record.experiments) == ["prompts"]
    write_report(tmp_path)


def test_an_experiment_that_is_not_known_is_named(planted_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no experiment 'edgez'; there are prompts"):
        run_study(str(planted_folder), days(), tmp_path / "out", OPTIONS, experiments=["edgez"])
    assert not (tmp_path / "out").exists()


def test_on_a_full_disk_nothing_is_half_written(
    planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(VitroError, match=r"the disk is full: .* was not written; free some space"):
            run_study(str(planted_folder), days(), tmp_path / "study", OPTIONS)
    assert not (tmp_path / "study").exists()
    write_file(tmp_path / "file", b"old")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FolderError):
            write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_record_is_plain_json(finished: Path) -> None:
    record = json.loads((finished / "study.json").read_text())
    assert record["settings"]["options"]["samples"] == 8
    assert len(record["settings"]["weights_sha256"]) == 64
    assert record["command"].startswith("vitro study days --model ")
    assert record["command"].endswith("--samples 8")


def test_a_study_of_a_model_that_norms_its_heads_records_and_shows_how_one_is_read(
    planted_model: Model, finished: Path, tmp_path: Path
) -> None:
    hf = families_llama.made("gemma2", head_dim=8, vocab_size=planted_model.shape.d_vocab)
    filled_model(hf).hf.save_pretrained(tmp_path / "gemma2")
    planted_model.tokenizer.save_pretrained(tmp_path / "gemma2")
    study = run_study(str(tmp_path / "gemma2"), days(), tmp_path / "study", OPTIONS, experiments=["prompts"])
    assert study.record.conventions == {"post_norm": "held"}
    assert re.search(r"Post norm\W.*held", study.report.read_text("utf-8"))
    assert open_study(finished).record.conventions == {}
    assert "Post norm" not in (finished / "report.html").read_text("utf-8")


def test_a_study_from_before_there_was_an_option_has_its_default(
    planted_folder: Path, planted_model: object, tmp_path: Path, undrawn: None
) -> None:
    run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["clean"])
    record = json.loads((tmp_path / "study.json").read_bytes())
    del record["settings"]["options"]["top_edges"]
    (tmp_path / "study.json").write_text(json.dumps(record), "utf-8")
    assert run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["clean"]).table("clean").height == 7
    few = dataclasses.replace(OPTIONS, top_edges=9)
    with pytest.raises(StudyError, match="its top edges is 'None', not '9'"):
        run_study(str(planted_folder), days(), tmp_path, few, experiments=["clean"])


def test_a_table_with_the_columns_of_another_version_is_named(
    planted_folder: Path, planted_model: object, tmp_path: Path, undrawn: None
) -> None:
    study = run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["clean"])
    older = to_parquet(study.table("clean").drop("answer_rank"))
    (tmp_path / "tables" / "clean.parquet").write_bytes(older)
    record = (tmp_path / "study.json").read_text("utf-8")
    written = study.record.experiments["clean"].tables["clean"]
    (tmp_path / "study.json").write_text(record.replace(written, sha256(older).hexdigest()), "utf-8")
    with pytest.raises(
        StudyError, match=r"clean.parquet is not a table of this vitro \(table clean: its columns are .* remove it"
    ):
        open_study(tmp_path).table("clean")
