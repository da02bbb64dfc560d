"""Command lines, task files, circuits and folders of studies with random faults: each gives a result or one line."""

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from io import BytesIO
from json import dumps, loads
from pathlib import Path

import polars as pl

from forked import forked, wrong
from fuzz.check import Check, agree
from fuzz.draw import Draw
from fuzz.texts import ODD_TEXTS, changed_bytes, changed_json, changed_text
from planted import planted
from vitro.circuits import Circuit, to_mib
from vitro.cli.parameters import SETS
from vitro.options import Flag, options_of

CIRCUITS = (
    "input -> m0; input, m0 -> a1.h1[subject]; a1.h1 -> logits",
    "absent: mean\ninput -> a1.h1<v>\na1.h1 -> logits",
    "mean: a0.h0-3, m1\nresid_post1 -> a2.h0, m2  # a remark\nresid_post1, a2.h0, m2 -> logits",
)
TASKS = {
    "t.toml": 'name = "t"\ntemplate = "If today is {day}, tomorrow is"\nwords = ["Monday", "Tuesday", "Wednesday"]\n'
    'cyclic = true\nn = 2\ncontent = ["today"]\nparaphrases = ["today is {day}, tomorrow is"]\nseed = 1\n',
    "r.toml": '[[rows]]\nclean = "If today is Monday, tomorrow is"\nright = " Tuesday"\nwrong = [" Monday"]\n',
    "r.jsonl": '{"clean": "If today is Monday, tomorrow is", "corrupt": "If today is Sunday, tomorrow is", '
    '"right": " Tuesday", "wrong": [" Monday"], "marks": {"subject": [12, 18]}, "group": "a", "label": "b"}\n',
    "r.json": '{"prompts": [{"clean": "If today is Monday, tomorrow is", "corrupt": "If today is Sunday, tomorrow is", '
    '"answers": [" Tuesday"], "wrong_answers": [" Monday"]}], "word_idxs": {"subject": 3, "end": 6}, '
    '"seq_labels": null}',
    "r.csv": "clean,corrupt,right,wrong,marks\n"
    '"If today is Monday, tomorrow is","If today is Sunday, tomorrow is", Tuesday, Monday,"{""subject"": 3}"\n',
    "ids.csv": "clean,corrupted,correct_idx,incorrect_idx\n"
    '"If today is Monday, tomorrow is","If today is Sunday, tomorrow is",5,6\n',
}
WORDS = (
    "days",
    "months",
    "numbers:3",
    "ioi",
    "days:all",
    "agreement:2",
    "greater-than:9",
    "x.toml",
    "r.csv:2",
    "ioi:0",
    "",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "tasks": ("--first", "--json", "--seed"),
    "models": ("--json",),
    "report": ("--json",),
    "circuit": ("--absent", "--judge", "--export", "--drawing", "--json"),
    "study": ("--also", "--no-find", "--out", "--json"),
    "find": ("--ablation", "--out", "--json"),
    "edges": ("--scores", "--out", "--json"),
    "curve": ("--scores", "--file", "--figure", "--out", "--json"),
    "export": ("--scores", "--mib", "--name", "--circuits", "--out"),
    "successor": ("--out", "--top", "--json"),
    "reproduce": ("--out", "--conventions"),
}
SOUND = {
    "--scores": "random", "--out": "s", "--mib": "m", "--absent": "mean", "--ablation": "zero", "--also": "clean",
    "--export": "c.json", "--drawing": "c.svg", "--figure": "f.svg", "--file": "none.json", "--name": "n",
    "--top": "3", "--first": "2", "--conventions": "given", "--seed": "1",
}  # fmt: skip
ALONE = ("--json", "--judge", "--no-find", "--circuits")


@cache
def model_folder() -> Path:
    """The planted model, kept for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="vitro-fuzz-"))
    planted(folder)
    return folder


def _check(what: str, *words: str) -> list[Check]:
    done = forked(*(word.replace("\0", "0") for word in words))
    return [agree(f"{what} {words}: {wrong(done) or 'as it should be'}", not wrong(done))]


def check_command_lines(draw: Draw) -> list[Check]:
    """A command with options of its own, of the option table, and of none, with values sound and odd."""
    known = {option.typed: option for of in SETS for option in options_of(of)}
    command = draw.one_of(list(COMMANDS))
    words = [command]
    if command == "circuit":
        words.append(draw.one_of([*CIRCUITS, changed_text(draw, draw.one_of(CIRCUITS)), draw.one_of(ODD_TEXTS)]))
    if command not in ("models", "successor", "reproduce"):
        words.append("days" if draw.chance(0.6) else draw.one_of([*WORDS, *ODD_TEXTS]))
    if command not in ("models", "report"):
        words += ["--model", str(model_folder()) if draw.chance(0.9) else draw.one_of(ODD_TEXTS)]
    words += ["--samples", "4"] if command not in ("models", "report", "tasks", "successor") else []
    for name in draw.sample([*known, *COMMANDS[command], *COMMANDS[command]], 0, 3):
        words.append(name)
        option = known.get(name)
        if name in ALONE or (option is not None and isinstance(option.kind, Flag)):
            continue
        sound = SOUND.get(name) or (option.write(option.default) if option and option.default is not None else "1")
        words.append(draw.one_of([sound, changed_text(draw, sound), draw.one_of(ODD_TEXTS)]))
    return _check("command line", *words)


def check_task_files(draw: Draw) -> list[Check]:
    """A file of a task, of every kind, changed."""
    with tempfile.TemporaryDirectory() as place:
        name = draw.one_of([*TASKS, "r.parquet"])
        path = Path(place) / name
        if name == "r.parquet":
            buffer = BytesIO()
            pl.DataFrame([loads(TASKS["r.jsonl"]) | {"marks": None}] * 20).write_parquet(buffer)
            path.write_bytes(changed_bytes(draw, buffer.getvalue()))
        else:
            text = TASKS[name]
            json = name.endswith(("json", "jsonl")) and draw.chance(0.6)
            changed = changed_json(draw, text) if json else changed_text(draw, text)
            content = changed.encode("utf-8", "surrogatepass")
            path.write_bytes(changed_bytes(draw, content) if draw.chance(0.1) else content)
        told = path.read_bytes()[:600]
        flags = draw.sample(["--skip-bad-rows", "--first-token"], 0)
        return _check(f"task file {told!r}", "tasks", str(path), "--model", str(model_folder()), *flags)


def check_circuit_files(draw: Draw) -> list[Check]:
    """A circuit as text or as a graph of EAP-IG, changed."""
    with tempfile.TemporaryDirectory() as place:
        if draw.chance(0.5):
            path = Path(place) / "c.json"
            changed = changed_json(draw, _graph())
        else:
            path = Path(place) / "c.txt"
            changed = changed_text(draw, draw.one_of(CIRCUITS))
        path.write_bytes(changed.encode("utf-8", "surrogatepass"))
        absent = ["--absent", draw.one_of(["mean", "zero", "counterfactual"])] if draw.chance(0.3) else []
        words = [str(path), "days", "--model", str(model_folder()), "--samples", "4", *absent]
        return _check(f"circuit file {changed[:600]!r}", "circuit", *words)


@cache
def _graph() -> str:
    return dumps(to_mib(Circuit.wire("input -> m0; m0 -> logits"), planted(model_folder())))


def check_study_folders(draw: Draw) -> list[Check]:
    """A study's folder with a changed record, table, or place, shown and measured on."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "study"
        shutil.copytree(_study(), folder)
        faults = [draw.one_of(FAULTS)(draw, folder) for _ in range(draw.integer(1, 2))]
        command = draw.one_of([("report", str(folder)), ("study", "--no-find"), ("edges", "--scores", "random")])
        if command[0] != "report":
            name, *more = command
            command = (name, "days", "--model", str(model_folder()), "--samples", "4", "--out", str(folder), *more)
        return _check(f"study folder ({'; '.join(faults)})", *command)


@cache
def _study() -> Path:
    folder = model_folder() / "study"
    done = forked("study", "days", "--model", str(model_folder()), "--samples", "4", "--no-find", "--out", str(folder))
    assert done.code == 0, done.err
    return folder


def _record(draw: Draw, folder: Path) -> str:
    path = folder / "study.json"
    if not path.is_file():
        return "no record"
    try:
        changed = changed_json(draw, path.read_text("utf-8"))
    except ValueError:
        return "no JSON"
    path.write_bytes(changed.encode("utf-8", "surrogatepass"))
    return "record"


def _table(draw: Draw, folder: Path) -> str:
    tables = sorted(path for path in (folder / "tables").glob("*.parquet") if path.is_file())
    if not tables:
        return "no tables"
    path = draw.one_of(tables)
    frame = _frame(path) if draw.chance(0.5) else None
    if frame is not None:
        kinds: list[Callable[[], pl.DataFrame]] = [
            frame.clear,
            pl.DataFrame,
            lambda: frame.drop(draw.one_of(frame.columns)),
            lambda: frame.cast(pl.String),
            lambda: frame.head(draw.integer(1, 3)),
            lambda: frame.with_columns(pl.lit(None).cast(frame.dtypes[0]).alias(frame.columns[0])),
        ]
        buffer = BytesIO()
        draw.one_of(kinds)().write_parquet(buffer)
        path.write_bytes(buffer.getvalue())
        _make_known(folder, path)
    else:
        path.write_bytes(changed_bytes(draw, path.read_bytes()))
    return f"table {path.stem}"


def _frame(path: Path) -> pl.DataFrame | None:
    """A table; None where another fault has been at it."""
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _make_known(folder: Path, table: Path) -> None:
    """Put a table's hash into the record, as nobody does by mistake."""
    record = folder / "study.json"
    try:
        fields = loads(record.read_text("utf-8"))
        for done in fields["experiments"].values():
            if table.stem in done["tables"]:
                done["tables"][table.stem] = sha256(table.read_bytes()).hexdigest()
        record.write_text(dumps(fields), "utf-8")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return


def _place(draw: Draw, folder: Path) -> str:
    path = draw.one_of([place for place in sorted(folder.rglob("*")) if place != folder / "study.json"] or [folder])
    if not path.exists():
        return "nothing"
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    kinds: list[Callable[[Path], object]] = [Path.mkdir, Path.touch, lambda place: place.symlink_to(place), str]
    draw.one_of(kinds)(path)
    return f"place {path.name}"


FAULTS: tuple[Callable[[Draw, Path], str], ...] = (_record, _record, _table, _place)
