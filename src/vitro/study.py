"""A study: one task on one model, every measurement, in a folder that can be stopped and gone on with at any time."""

import io
import json
import platform
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from vitro.errors import VitroError
from vitro.experiments import EXPERIMENTS, ON_REQUEST, Experiment, Options, Part, Setup, Tables
from vitro.figures import to_svg
from vitro.folder import check_writable, sole_writer, write_file
from vitro.models import Model, find, load_checkpoint
from vitro.progress import bar
from vitro.report import Page, Section, render
from vitro.tasks import Task, argument

PARTS = "parts"
"""Where a long experiment keeps what it has done until it is finished."""
FORMAT = 1
"""Of study.json; raised when a folder written before can no longer be gone on with."""


class StudyError(VitroError):
    """A folder that holds another study, or none."""


class Settings(BaseModel):
    """What a study's numbers follow from. Two runs with equal settings may share a folder; no others may."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None
    weights_sha256: str
    task: dict[str, Any]
    options: dict[str, Any]
    """Those of the measurements, but for the memory budget: it decides how the work is cut, not what is measured."""
    device: str
    dtype: str


class Done(BaseModel):
    """An experiment that is finished."""

    seconds: float
    tables: list[str]


class Record(BaseModel):
    """study.json: what was run, on what, and what of it is finished."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    settings: Settings
    command: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    model: dict[str, str | int]
    """Family and sizes."""
    tokenizer_sha256: str
    absorbed: list[str]
    """How this tokenizer's cuts were told apart from the task's words; mostly nothing."""
    experiments: dict[str, Done] = {}


@dataclass(frozen=True)
class Study:
    """A study's folder and what it holds."""

    folder: Path
    record: Record

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.folder / "report.html"

    def tables(self, experiment: Experiment) -> Tables:
        """The tables of one experiment, and of those that its figures need beside it, read from disk."""
        shown = (name for one in (*experiment.needs, experiment) for name in one.tables)
        return {name: _read_table(self.folder, name) for name in shown}

    def table(self, name: str) -> pl.DataFrame:
        """One table by its name, read from disk."""
        return _read_table(self.folder, name)


def run_study(
    task: Task,
    model: str,
    out: str | Path,
    options: Options = Options(),  # noqa: B008 (frozen)
    *,
    experiments: Collection[str] = tuple(EXPERIMENTS),
    device: str = "cpu",
    dtype: str = "float32",
) -> Study:
    """Measure a task on a model and write tables, figures and report to a folder.

    model: what `vitro.load` takes. experiments: names in `EXPERIMENTS` and `ON_REQUEST`.
    The folder is written experiment by experiment; after a stop of any kind the same
    call does only what is missing. Raises StudyError where the folder holds something else, and whatever the model
    (ModelError), the task (TaskError) or the folder (FolderError) make impossible, before anything is written.
    """
    folder = Path(out)
    check_writable(folder)
    checkpoint = find(model)
    with bar(f"reading {model}"):
        settings = Settings(
            model=checkpoint.name,
            revision=checkpoint.revision,
            weights_sha256=checkpoint.weights_hash(),
            # As it comes back from study.json, where there are no tuples.
            task=json.loads(json.dumps(asdict(task))),
            options=json.loads(json.dumps({k: v for k, v in asdict(options).items() if k != "memory"})),
            device=device,
            dtype=dtype,
        )
    found = _found(folder, settings)
    asked = [experiment for name, experiment in _all().items() if name in experiments]
    missing = [one for one in asked if found is None or not _finished(folder, found, one)]
    if found is not None and not missing:
        with sole_writer(folder):
            _show(folder, found)
        return Study(folder, found)

    with bar(f"loading {model}"):
        loaded = load_checkpoint(checkpoint, device=device, dtype=dtype)
        setup = Setup(loaded, task, options, part=_kept_parts(folder, settings))
    tokenizer = _tokenizer_hash(setup.model)
    if found is not None and found.tokenizer_sha256 != tokenizer:
        raise StudyError(f"{folder} holds a study with another tokenizer; choose another --out")
    setup.check()
    if found is not None:
        for one in _done(found):
            if one not in missing:
                setup.measured[one.name] = {table: _read_table(folder, table) for table in one.tables}
    record = found or _new_record(settings, setup, tokenizer)
    with sole_writer(folder):
        for one in missing:
            start = time.perf_counter()
            tables = setup.tables(one)
            for table, frame in tables.items():
                write_file(_table_path(folder, table), _parquet(frame))
            done = Done(seconds=round(time.perf_counter() - start, 3), tables=sorted(tables))
            record = record.model_copy(update={"experiments": {**record.experiments, one.name: done}})
            # Last, so that what the record calls finished is on the disk.
            write_file(folder / "study.json", (record.model_dump_json(indent=2) + "\n").encode())
            shutil.rmtree(folder / PARTS, ignore_errors=True)
        _show(folder, record)
    return Study(folder, record)


def _all() -> Mapping[str, Experiment]:
    """Every measurement that a study can hold, in the order in which they are made and shown."""
    return {**EXPERIMENTS, **ON_REQUEST}


def _done(record: Record) -> list[Experiment]:
    return [experiment for name, experiment in _all().items() if name in record.experiments]


def _kept_parts(folder: Path, settings: Settings) -> Part:
    """Parts of a long experiment on disk, for the next run of the same study to find. They carry its settings' hash."""
    mark = sha256(settings.model_dump_json().encode()).hexdigest()[:16]

    def part(name: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        path = folder / PARTS / f"{name}-{mark}.parquet"
        if path.is_file():
            return _read_parquet(path)
        made = make()
        write_file(path, _parquet(made))
        return made

    return part


def open_study(folder: str | Path) -> Study:
    """A study that is on disk. StudyError where there is none."""
    record = _read_record(Path(folder))
    if record is None:
        raise StudyError(
            f"{folder} holds no study (no study.json); vitro study TASK --model M --out {folder} makes one"
        )
    return Study(Path(folder), record)


def write_report(folder: str | Path) -> Study:
    """Draw figures and report again from the tables of a study, without the model."""
    study = open_study(folder)
    with sole_writer(study.folder):
        _show(study.folder, study.record)
    return study


def _found(folder: Path, settings: Settings) -> Record | None:
    """The record of this very study; None in a folder that is new or empty; StudyError where another one is."""
    record = _read_record(folder)
    if record is None:
        if strangers := _strangers(folder):
            raise StudyError(f"{folder} is not empty and holds no study ({strangers[0]}); choose another --out")
        return None
    if record.settings != settings:
        ours, theirs = settings.model_dump(), record.settings.model_dump()
        name = next(name for name in ours if ours[name] != theirs[name])
        short = _difference(name, theirs[name], ours[name])
        raise StudyError(f"{folder} holds another study: {short}; choose another --out")
    return record


def _strangers(folder: Path) -> list[str]:
    """What a study that was stopped before its first experiment's end has not left in a folder without study.json."""
    tables = folder / "tables"
    ours = {tables, folder / PARTS}
    ours |= {_table_path(folder, name) for experiment in _all().values() for name in experiment.tables}
    found = [*folder.glob("*"), *tables.glob("*")]
    return sorted(str(path.relative_to(folder)) for path in found if path not in ours and path.name[0] != ".")


def _difference(name: str, theirs: Any, ours: Any) -> str:
    if isinstance(ours, dict):
        name = next(key for key in ours if ours[key] != theirs.get(key))
        theirs, ours = theirs.get(name), ours[name]
    return f"its {name.replace('_', ' ')} is {str(theirs)[:60]!r}, not {str(ours)[:60]!r}"


def _read_record(folder: Path) -> Record | None:
    path = folder / "study.json"
    if not path.is_file():
        return None
    try:
        record = Record.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise StudyError(f"{path} is damaged, or of another version of vitro; choose another --out") from error
    if record.format != FORMAT:
        raise StudyError(f"{path} has format {record.format}, and this vitro reads {FORMAT}; choose another --out")
    return record


def _new_record(settings: Settings, setup: Setup, tokenizer: str) -> Record:
    packages = ("vitro", "torch", "transformers", "numpy", "polars")
    return Record(
        settings=settings,
        command=_command(settings, setup.task),
        machine={
            "system": platform.system(),
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "device": _device_name(setup.model.device),
        },
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        model={"family": type(setup.model).__name__, **asdict(setup.model.shape)},
        tokenizer_sha256=tokenizer,
        absorbed=list(setup.prompts.absorbed),
    )


def _command(settings: Settings, task: Task) -> str:
    """The command line that makes the study, with the options that are not the defaults."""
    words = ["vitro", "study", argument(task), "--model", settings.model]
    defaults = {**asdict(Options()), "device": "cpu", "dtype": "float32"}
    for name, value in {**settings.options, "device": settings.device, "dtype": settings.dtype}.items():
        if _spelt(value) != _spelt(defaults[name]):
            words += [f"--{name.replace('_', '-')}", _spelt(value)]
    return shlex.join(words)


def _command_of(experiment: Experiment, record: Record) -> str:
    """The command that makes a section: edges have one of their own."""
    return record.command if experiment.name in EXPERIMENTS else record.command.replace("study", "edges", 1)


def _spelt(value: Any) -> str:
    """An option as one types it: heads as 9.1,10.3, lists with commas, nothing as "by rule"."""
    if value is None:
        return "by rule"
    if isinstance(value, list | tuple):
        return ",".join(".".join(map(str, one)) if isinstance(one, list | tuple) else f"{one:g}" for one in value)
    return str(value)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _tokenizer_hash(model: Model) -> str:
    """SHA-256 of what the tokenizer does, in the tokenizers library's own words."""
    return sha256(model.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def _finished(folder: Path, record: Record, experiment: Experiment) -> bool:
    done = record.experiments.get(experiment.name)
    return done is not None and all(_table_path(folder, name).is_file() for name in experiment.tables)


def _table_path(folder: Path, name: str) -> Path:
    return folder / "tables" / f"{name}.parquet"


def _read_table(folder: Path, name: str) -> pl.DataFrame:
    return _read_parquet(_table_path(folder, name))


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StudyError(f"{path} cannot be read; remove it and give the study's command again") from error


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _show(folder: Path, record: Record) -> None:
    """Draw every figure and the page, from the tables of what is finished."""
    study = Study(folder, record)
    sections = []
    done = _done(record)
    with bar("drawing the report") as progress:
        for number, experiment in enumerate(done):
            tables = study.tables(experiment)
            figures = experiment.figures(tables)
            for name, figure in figures.items():
                write_file(folder / "figures" / f"{name}.svg", to_svg(figure).encode())
            sections.append(
                Section(
                    name=experiment.name,
                    title=experiment.title,
                    reading=experiment.reading,
                    figures=figures,
                    numbers=experiment.numbers(tables),
                    python=experiment.python,
                    command=_command_of(experiment, record),
                )
            )
            progress(number + 1, len(done))
        page = Page(
            title=f"{record.settings.task['name']} in {record.settings.model}",
            lead=summary(study),
            facts=_facts(record),
            sections=sections,
        )
        write_file(study.report, render(page).encode())


def _facts(record: Record) -> list[tuple[str, str]]:
    settings = record.settings
    task = settings.task
    return [
        ("Model", f"{settings.model}{f'@{settings.revision}' if settings.revision else ''}"),
        ("Family and sizes", ", ".join(f"{name} {value}" for name, value in record.model.items())),
        ("Weights, SHA-256", settings.weights_sha256),
        ("Tokenizer, SHA-256", record.tokenizer_sha256),
        ("Template", task["template"]),
        ("Words", ", ".join(task["words"]) + (" (cyclic)" if task["cyclic"] else "")),
        ("Content words", ", ".join(task["content"])),
        *(("Tokens", note) for note in record.absorbed),
        *((name.replace("_", " ").capitalize(), _spelt(value)) for name, value in settings.options.items()),
        ("Device, number format", f"{record.machine['device']}, {settings.dtype}"),
        ("Machine", f"{record.machine['system']}, {record.machine['processor']}, {record.machine['threads']} threads"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("Seconds", ", ".join(f"{name} {done.seconds:.1f}" for name, done in record.experiments.items())),
    ]


def summary(study: Study) -> list[str]:
    """What a study found, in a sentence for each measurement that has one."""
    done = _done(study.record)
    tables = {name: study.table(name) for experiment in done for name in experiment.tables}
    return [sentence for experiment in done if (sentence := experiment.summary(tables))]
