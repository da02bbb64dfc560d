"""A study: one task on one model, every measurement, in a folder; it can be stopped and continued at any time."""

import json
import platform
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from vitro.errors import NoValueError, VitroError
from vitro.experiments import EVERY_STUDY, EXPERIMENTS, FIND, SCORE_EXPERIMENTS, Experiment, Setup, Tables
from vitro.experiments.findings import findings
from vitro.experiments.prompts import PROMPTS, asked
from vitro.figures import DrawingError, to_spec, to_svg
from vitro.files import FileError, MissingError, json_of, opened, read_bytes, text_of
from vitro.folder import check_writable, remove_unfinished, sole_writer, write_file
from vitro.identity import chosen, identity
from vitro.limits import out_of_memory
from vitro.models import find, load_checkpoint
from vitro.models.checkpoint import Checkpoint
from vitro.options import (
    DEFAULT_OPTIONS,
    Machine,
    OptionError,
    Options,
    changed,
    command_line,
    options_of,
    python_call,
    python_lines,
)
from vitro.parts import Parts, from_parquet, to_parquet
from vitro.progress import bar
from vitro.report import GENERATOR, Page, Section, Sentence, found_head, render
from vitro.tables import SchemaError, checked
from vitro.tasks import Task

PARTS = "parts"
"""Where a long experiment keeps its finished parts until all are done."""
FORMAT = 7
"""Of study.json; raised when older folders can no longer be continued."""
LARGEST_RECORD, LARGEST_TABLE = 2**24, 2**32
"""Bytes that are read of study.json, and of a table."""


class StudyError(VitroError):
    """The folder holds another study, or none."""


class Settings(BaseModel):
    """What determines a study's numbers. Only runs with equal settings may share a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None
    weights_sha256: str
    config_sha256: str
    """The hash of the configuration as transformers resolves it."""
    tokenizer_sha256: str
    task: dict[str, Any]
    options: dict[str, Any]
    """The measurements' options, except the memory budget."""
    device: str
    dtype: str

    @field_validator("task")
    @classmethod
    def _is_named(cls, task: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(task.get("name"), str):
            raise ValueError("a task has a name")
        return task

    @field_validator("options")
    @classmethod
    def _are_of_this_version(cls, options: dict[str, Any]) -> dict[str, Any]:
        known = {option.name: option for option in options_of(Options)}
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"there is no option {name}; it is of another version of vitro")
            try:
                known[name].check(_tuples(value))
            except OptionError as error:
                raise ValueError(str(error)) from None
        # An option that there was not yet has its default: what was done without it.
        return {**chosen(DEFAULT_OPTIONS), **options}


def _tuples(value: Any) -> Any:
    """A value of an option, as JSON has it, which knows no tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class Done(BaseModel):
    """An experiment that is measured."""

    seconds: float
    tables: dict[str, str]
    """The SHA-256 of each table's file, by the table's name."""
    compared: list[str] = []
    """The experiments that it was made beside (see `Experiment.beside`)."""
    finished: bool = True
    """Whether there was time for all of it (see `Experiment.finished`)."""


class Ran(BaseModel):
    """The machine that a study was begun on."""

    system: str
    processor: str
    threads: int
    device: str


class Record(BaseModel):
    """study.json: what was run, on what, and which experiments are finished."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    settings: Settings
    command: str
    """`vitro study` with this study's model, task and options."""
    python: str
    """The same in Python: lines that make `model`, `task`, `options`, and `m`, the task mounted on the model."""
    machine: Ran
    versions: dict[str, str]
    model: dict[str, str | int]
    """Family and sizes."""
    task: dict[str, str]
    """Facts about the task for the report."""
    notes: list[str]
    """What was absorbed or left out in tokenizing; mostly nothing."""
    by_task: dict[str, str] = {}
    """The options that were left to the task, and what it made of them."""
    left_out: dict[str, str] = {}
    """Experiments that the task cannot answer, and what they need."""
    without_value: dict[str, str] = {}
    """Experiments that the task could answer, and that have no value in this model, and why."""
    experiments: dict[str, Done] = {}

    @field_validator("left_out", "without_value", "experiments")
    @classmethod
    def _are_measurements_of_this_version(cls, named: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(named.keys() - EXPERIMENTS.keys()):
            raise ValueError(f"there is no measurement {unknown[0]}; it is of another version of vitro")
        return named


@dataclass(frozen=True)
class Study:
    """A study's folder and what it holds.

    >>> study = vitro.run_study(task, folder, tmp_path, experiments=["clean"])
    >>> study.report.name, sorted(study.record.experiments), study.table("clean").height
    ('report.html', ['clean', 'prompts'], 7)
    """

    folder: Path
    record: Record

    def __repr__(self) -> str:
        settings, measured = self.record.settings, ", ".join(self.record.experiments) or "nothing yet"
        return f"{settings.task['name']} on {settings.model}, in {self.folder}\n  Measured: {measured}"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.folder / "report.html"

    def tables(self, experiment: Experiment) -> Tables:
        """The tables of one experiment, and of those that its figures need beside it, read from disk.

        StudyError where it has no value in this model.
        """
        if experiment.name in self.record.without_value:
            raise StudyError(f"{experiment.title}: {self.record.without_value[experiment.name]}")
        shown = experiment.shown_with(self.record.experiments)
        tables = {name: self.table(name) for other in shown for name in other.tables}
        return {**tables, **experiment.seconds({name: done.seconds for name, done in self.record.experiments.items()})}

    def table(self, name: str) -> pl.DataFrame:
        """One table by its name, read from disk.

        StudyError where the study has no such table, or the file is no longer the one that the study wrote, or was
        written by a version of Vitro with other columns.
        """
        hashes = {table: sha for done in self.record.experiments.values() for table, sha in done.tables.items()}
        if name not in hashes:
            raise StudyError(f"{self.folder} holds no table {name!r}; it holds {', '.join(sorted(hashes)) or 'none'}")
        path = _table_path(self.folder, name)
        again = "give the study's command again, which makes it anew"
        try:
            content = read_bytes(path, LARGEST_TABLE)
        except FileError as error:
            raise StudyError(f"{path}: {error}; {again}") from error
        if sha256(content).hexdigest() != hashes[name]:
            raise StudyError(f"{path} is not what the study wrote: it was changed or damaged; remove it and {again}")
        try:
            table = from_parquet(content)
            checked({name: table})
        except (pl.exceptions.PolarsError, SchemaError, KeyError) as error:
            raise StudyError(f"{path} is not a table of this vitro ({error}); remove it and {again}") from error
        return table


def run_study(
    task: Task,
    model: str,
    out: str | Path,
    options: Options = Options(),  # noqa: B008 (frozen)
    *,
    experiments: Collection[str] = EVERY_STUDY,
    device: str = "cpu",
    dtype: str = "float32",
) -> Study:
    """Measure a task on a model and write tables, figures and report to a folder.

    model: what `vitro.load` takes. experiments: names in `EXPERIMENTS`; those whose tables they are shown with come
    along. The folder is written experiment by experiment; after a stop of any kind the same call does only what is
    missing.

    Raises `StudyError` where the folder holds something else, and `ModelError`, `TaskError`, `OptionError` or
    `FolderError` where model, task, options or folder will not do, before anything is written; `DrawingError` where
    all is measured and written and a limit of the machine (`ulimit -v`) keeps the figures from being drawn.

    >>> vitro.run_study(task, folder, tmp_path, experiments=["clean"]).table("clean")["top_token"][0]
    ' Tuesday'
    """
    if unknown := sorted(set(experiments) - set(EXPERIMENTS)):
        raise StudyError(f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    folder = Path(out)
    check_writable(folder)
    checkpoint = find(model)
    with bar(f"reading {model}"):
        # In the form that JSON gives back, which has no tuples.
        asked = json.loads(json.dumps(task.identity()))
        settings = Settings(task=asked, **identity(checkpoint, options, device, dtype))
    with sole_writer(folder):
        record = _found(folder, settings)
        remove_unfinished(folder)
        done = record.experiments if record else {}
        known = {*done, *record.left_out, *record.without_value} if record else set()
        # What there was no time for goes on.
        unfinished = {name for name in experiments if name in done and not done[name].finished}
        wanted = (_with_needs(experiments) - known) | unfinished
        # What compares measurements is made anew when there is one more of them, even where it was stopped at that.
        wanted |= {name for name in done if done[name].compared != _beside(EXPERIMENTS[name], {*done, *wanted})}
        # So is what compares a search that goes on; so marked that it is even where this run is stopped before.
        outdated = {name for name in done if wanted.intersection(done[name].compared)}
        wanted |= outdated
        if record and outdated:
            marked = {name: done[name].model_copy(update={"compared": []}) for name in outdated}
            record = record.model_copy(update={"experiments": {**done, **marked}})
        missing = [experiment for name, experiment in EXPERIMENTS.items() if name in wanted]
        # How long the search may take follows from how long the others took; what shows its circuits comes after it.
        missing.sort(key=lambda experiment: (FIND in experiment.beside, experiment is FIND))
        if record is None or missing:
            record = _measured(folder, record, missing, checkpoint, task, options, settings)
        _write_record(folder, record)
        _show(folder, record)
    return Study(folder, record)


def _measured(
    folder: Path,
    record: Record | None,
    missing: Collection[Experiment],
    checkpoint: Checkpoint,
    task: Task,
    options: Options,
    settings: Settings,
) -> Record:
    """The record with the missing experiments measured and written, one after the other."""
    measured: dict[str, Tables] = {}
    if record is not None:
        study = Study(folder, record)
        kept = [done for done in _done(record) if done not in missing]
        measured = {done.name: {name: study.table(name) for name in done.tables} for done in kept}
    parts = Parts.of(folder / PARTS, settings.model_dump(mode="json"))
    with bar(f"loading {settings.model}"):
        loaded = load_checkpoint(checkpoint, device=settings.device, dtype=settings.dtype)
        seconds = {} if record is None else {name: done.seconds for name, done in record.experiments.items()}
        setup = Setup(loaded, task, options, measured, seconds, part=parts)
    setup.check()
    record = record or _new_record(settings, setup)
    lacks = {experiment.name: reason for experiment in missing if (reason := experiment.lacks(setup))}
    record = record.model_copy(update={"left_out": {**record.left_out, **lacks}})
    for experiment in missing:
        if experiment.name in lacks:
            continue
        try:
            measured_now = checked(setup.tables(experiment))
        except NoValueError as error:
            without = {**record.without_value, experiment.name: str(error)}
            record = record.model_copy(update={"without_value": without})
            continue
        tables = {name: (frame, to_parquet(frame)) for name, frame in measured_now.items()}
        if experiment.name in record.experiments:
            # Its tables are about to be others than those that the record knows.
            before = {name: done for name, done in record.experiments.items() if name != experiment.name}
            record = record.model_copy(update={"experiments": before})
            _write_record(folder, record)
        for name, (_, content) in tables.items():
            write_file(_table_path(folder, name), content)
        hashes = {name: sha256(content).hexdigest() for name, (_, content) in sorted(tables.items())}
        compared = _beside(experiment, record.experiments)
        done = Done(
            seconds=setup.seconds[experiment.name],
            tables=hashes,
            compared=compared,
            finished=experiment.finished(setup.tables(experiment)),
        )
        record = record.model_copy(update={"experiments": {**record.experiments, experiment.name: done}})
        # Last, so that everything the record calls finished is on disk.
        _write_record(folder, record)
        if done.finished:
            parts.remove(experiment.name)
    return record


def _with_needs(names: Collection[str]) -> set[str]:
    """Experiments by their names, and those whose tables they are shown with."""
    needed = {need.name for name in names for need in EXPERIMENTS[name].needs}
    return set(names) if needed <= set(names) else _with_needs(needed.union(names))


def _beside(experiment: Experiment, measured: Collection[str]) -> list[str]:
    """Which of the measured experiments it compares."""
    return [other.name for other in experiment.beside if other.name in measured]


def _done(record: Record) -> list[Experiment]:
    return [experiment for name, experiment in EXPERIMENTS.items() if name in record.experiments]


def open_study(folder: str | Path) -> Study:
    """A study that is on disk. Raises `StudyError` where there is none.

    >>> _ = vitro.run_study(task, folder, tmp_path, experiments=["clean"])
    >>> vitro.open_study(tmp_path).record.settings.task["name"]
    'days'
    """
    record = _read_record(Path(folder))
    if record is None:
        raise StudyError(
            f"{folder} holds no study (no study.json); vitro study TASK --model M --out {folder} makes one"
        )
    return Study(Path(folder), record)


def write_report(folder: str | Path) -> Study:
    """Draw figures and report again from the tables of a study, without the model."""
    with sole_writer(Path(folder)):
        study = open_study(folder)
        remove_unfinished(study.folder)
        _show(study.folder, study.record)
    return study


def _found(folder: Path, settings: Settings) -> Record | None:
    """The record of this study, as far as its tables exist; None where the folder holds nothing yet.

    StudyError where it holds another study, or other files.
    """
    record = _read_record(folder)
    if record is None:
        if strangers := _strangers(folder):
            raise StudyError(f"{folder} is not empty and holds no study ({strangers[0]}); choose another --out")
        return None
    if record.settings != settings:
        given, recorded = settings.model_dump(), record.settings.model_dump()
        name = next(name for name in given if given[name] != recorded[name])
        short = _difference(name, recorded[name], given[name])
        raise StudyError(f"{folder} holds another study: {short}; choose another --out")
    here = {name: done for name, done in record.experiments.items() if _is_here(folder, done)}
    return record.model_copy(update={"experiments": here})


def _strangers(folder: Path) -> list[str]:
    """Files that no study wrote, in a folder without study.json (a study stopped early or partly removed)."""
    tables, figures, parts = folder / "tables", folder / "figures", folder / PARTS
    own = {tables, figures, parts, *(parts / name for name in EXPERIMENTS)}
    own |= {_table_path(folder, name) for experiment in EXPERIMENTS.values() for name in experiment.tables}
    paths = [path for place in (folder, tables, figures, parts) if place.is_dir() for path in place.iterdir()]
    strange = [path for path in paths if path not in own and path.name[0] != "." and not _is_drawn(folder, path)]
    return sorted(str(path.relative_to(folder)) for path in strange)


def _is_drawn(folder: Path, path: Path) -> bool:
    """Whether a file is a study's page or figure, judged by its beginning: other files are not overwritten."""
    if path == folder / "report.html":
        mark = GENERATOR
    elif path.parent == folder / "figures" and path.suffix == ".svg":
        # What Vega draws.
        mark = 'class="marks"'
    else:
        return False
    try:
        with opened(path) as file:
            return mark.encode() in file.read(2048)
    except FileError:
        return False


def _difference(name: str, recorded: Any, given: Any) -> str:
    if isinstance(given, dict):
        key = next(key for key in {**given, **recorded} if given.get(key) != recorded.get(key))
        recorded, given = recorded.get(key), given.get(key)
        name = name if key == "name" else key
    return f"its {name.replace('_', ' ')} is {str(recorded)[:60]!r}, not {str(given)[:60]!r}"


def _read_record(folder: Path) -> Record | None:
    path = folder / "study.json"
    anew = f"choose another --out, or remove {folder} to measure anew"
    try:
        fields = json_of(text_of(read_bytes(path, LARGEST_RECORD)))
    except MissingError:
        return None
    except FileError as error:
        raise StudyError(f"{path}: {error}; {anew}") from error
    number = fields.get("format") if isinstance(fields, dict) else None
    if type(number) is not int:
        raise StudyError(f"{path} is no record of a study; {anew}")
    if number != FORMAT:
        whose = "an older" if number in range(FORMAT) else "a newer"
        raise StudyError(f"{path} has format {number}, of {whose} vitro, and this one reads {FORMAT}; {anew}")
    try:
        return Record.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StudyError(f"{path} is not as this vitro writes it: {place}: {first['msg']}; {anew}") from error


def _write_record(folder: Path, record: Record) -> None:
    write_file(folder / "study.json", (record.model_dump_json(indent=2) + "\n").encode())


def _new_record(settings: Settings, setup: Setup) -> Record:
    packages = ("vitro", "torch", "transformers", "numpy", "polars")
    task, machine = setup.task, Machine(settings.device, settings.dtype)
    # Neither changes what is measured.
    options = replace(setup.options, memory=None, budget=None)
    seed = {"seed": options.seed} if options.seed else {}
    return Record(
        settings=settings,
        command=command_line("study", [task.typed], task.named_with, options, machine, model=settings.model),
        python=python_lines(
            settings.model,
            machine,
            f"task = {python_call('vitro.tasks.named', task.typed, **seed, **changed(task.named_with))}",
            f"options = {python_call('vitro.Options', **changed(options))}",
            "m = vitro.mount(model, task, options)",
        ),
        machine=Ran(
            system=platform.system(),
            processor=platform.processor() or platform.machine(),
            threads=torch.get_num_threads(),
            device=_device_name(setup.model.device),
        ),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        model={"family": type(setup.model).__name__, **asdict(setup.model.shape)},
        task=dict(setup.task.facts()),
        notes=list(setup.questions.notes),
        by_task=_by_task(setup),
    )


def _by_task(setup: Setup) -> dict[str, str]:
    """What the options come to that leave the choice to the task."""
    chosen = {
        "ablations": ",".join(setup.ablations),
        "metric": setup.metric.name,
        "sweep_prompts": str(len(setup.swept.questions)),
        "edge_ablation": setup.edge_ablation,
    }
    return {name: text for name, text in chosen.items() if getattr(setup.options, name) is None}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _is_here(folder: Path, done: Done) -> bool:
    return all(_table_path(folder, name).is_file() for name in done.tables)


def _table_path(folder: Path, name: str) -> Path:
    return folder / "tables" / f"{name}.parquet"


def _show(folder: Path, record: Record) -> None:
    """Draw every figure and the page. DrawingError where a limit of the machine forbids it, which says what is kept."""
    try:
        _draw(folder, record)
    except DrawingError as error:
        kept = f"all that was measured is in {folder}, and vitro report {folder} draws it where that is allowed"
        raise DrawingError(f"{error}; {kept}") from error


def _draw(folder: Path, record: Record) -> None:
    """Every figure and the page, from the tables of the finished experiments."""
    study = Study(folder, record)
    sections = []
    done = sorted(_done(record), key=lambda experiment: experiment is not FIND)
    with bar("drawing the report") as progress:
        for number, experiment in enumerate(done):
            with _shown_from(folder, experiment.title):
                tables = study.tables(experiment)
                figures = {name: to_spec(figure) for name, figure in experiment.figures(tables).items()}
                numbers = experiment.numbers(tables)
            for name, figure in figures.items():
                write_file(folder / "figures" / f"{name}.svg", to_svg(figure).encode())
            sections.append(
                Section(
                    name=experiment.name,
                    title=experiment.title,
                    reading=experiment.reading,
                    figures=figures,
                    numbers=numbers,
                    python=experiment.python,
                    command=_own_command(record, experiment),
                )
            )
            progress(number + 1, len(done))
        with _shown_from(folder, "The summary"):
            page = Page(
                title=f"{record.settings.task['name']} in {_short(record.settings)}",
                # What the search found is said by the head.
                lead=[sentence for sentence in summary(study) if sentence.at != FIND.name],
                facts=_facts(record),
                sections=sections,
                asked=asked(study.tables(PROMPTS)) if PROMPTS.name in record.experiments else "",
                head=found_head(study.tables(FIND)) if FIND in done else None,
                left_out=[
                    *(f"{EXPERIMENTS[name].title} (needs {lacks})" for name, lacks in record.left_out.items()),
                    *(f"{EXPERIMENTS[name].title} ({why})" for name, why in record.without_value.items()),
                ],
                command=_whole(record),
                python=record.python,
            )
        write_file(study.report, render(page).encode())


def _short(settings: Settings) -> str:
    """The model's name for a title: a hub id as it is, of a path the last part."""
    return settings.model if settings.revision else Path(settings.model).name or settings.model


def _by(record: Record, command: str, *flags: str) -> str:
    """One of Vitro's commands with this study's model, task and options, and flags of its own."""
    return " ".join([record.command.replace("study", command, 1), *flags])


def _own_command(record: Record, experiment: Experiment) -> str:
    """The command that makes an experiment, where it is another than `vitro study`; else empty."""
    command, *flags = experiment.command.split()
    if command == "study":
        return ""
    if experiment.beside:
        compared = set(record.experiments[experiment.name].compared)
        if record.settings.options.get("top_edges") is not None:
            # Exact scores of some edges rank none (see `vitro curve`).
            compared.discard(SCORE_EXPERIMENTS["exact"].name)
        compared.update(need.name for need in experiment.needs)
        scores = [name for name, score in SCORE_EXPERIMENTS.items() if score.name in compared]
        flags += ["--scores", ",".join(scores)] if scores else []
    return _by(record, command, *flags)


def _whole(record: Record) -> str:
    """The commands that make all that the record has, a line each.

    It is one where all is there that every study makes; a folder of `vitro find` or `vitro edges` alone has theirs.
    """
    done = _done(record)
    if {FIND.name, *record.experiments, *record.left_out, *record.without_value}.issuperset(EVERY_STUDY):
        also = [f"--also {experiment.name}" for experiment in done if experiment.command != "study"]
        return _by(record, "study", *([] if FIND in done else ["--no-find"]), *also)
    own = [_own_command(record, experiment) for experiment in done]
    searched = [_by(record, FIND.name)] if FIND in done else []
    return "\n".join(dict.fromkeys([*filter(None, own), *searched])) or record.command


@contextmanager
def _shown_from(folder: Path, what: str) -> Iterator[None]:
    """Tell a table that says nothing, as one without rows, where figures, numbers and sentences are made of it."""
    try:
        with warnings.catch_warnings():
            # Of the mean of nothing.
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    except VitroError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise StudyError(
            f"{what} cannot be shown from what the tables in {folder / 'tables'} hold ({type(error).__name__}, "
            f"{str(error)[:200]}); where one was changed, remove it and give the study's command again, which makes it "
            "anew; where none was, this is a fault of vitro, which vitro --debug shows"
        ) from error


def _facts(record: Record) -> list[tuple[str, str]]:
    settings = record.settings
    return [
        ("Model", f"{settings.model}{f'@{settings.revision}' if settings.revision else ''}"),
        ("Family and sizes", ", ".join(f"{name} {value}" for name, value in record.model.items())),
        ("Weights, SHA-256", settings.weights_sha256),
        ("Configuration, SHA-256", settings.config_sha256),
        ("Tokenizer, SHA-256", settings.tokenizer_sha256),
        *record.task.items(),
        *(("Tokens", note) for note in record.notes),
        *(
            (
                option.name.replace("_", " ").capitalize(),
                record.by_task.get(option.name) or option.write(settings.options[option.name]),
            )
            for option in options_of(Options)
            if option.name in settings.options
        ),
        ("Device, number format", f"{record.machine.device}, {settings.dtype}"),
        ("Machine", f"{record.machine.system}, {record.machine.processor}, {_threads(record.machine.threads)}"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("Seconds", _seconds(record)),
    ]


def _seconds(record: Record) -> str:
    """What all of it took, and what the longest did."""
    took = sorted(((done.seconds, name) for name, done in record.experiments.items()), reverse=True)
    longest = ", ".join(f"{name} {seconds:.1f}" for seconds, name in took[:5])
    return f"{sum(seconds for seconds, _ in took):.1f} in all; the longest: {longest}"


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def summary(study: Study) -> list[Sentence]:
    """A study's findings: a sentence for each measurement that has one."""
    done = _done(study.record)
    tables = {name: study.table(name) for experiment in done for name in experiment.tables}
    return findings(done, tables)
