"""A study: one task on one model, every measurement, in a folder; it can be stopped and continued at any time."""

import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from vitro.errors import NoValueError, a_kind
from vitro.experiments import EVERY_STUDY, EXPERIMENTS, FIND, Experiment, Setup, Tables
from vitro.figures import DrawingError
from vitro.files import FileError, opened
from vitro.folder import check_writable, remove_unfinished, sole_writer, write_file
from vitro.identity import chosen, identity
from vitro.limits import Room
from vitro.models import Model, ModelError, find, load_checkpoint
from vitro.models.checkpoint import Checkpoint
from vitro.options import DEFAULT_MACHINE, DEFAULT_OPTIONS, Machine, Options, check_options
from vitro.parts import Parts, to_parquet
from vitro.progress import bar
from vitro.record import (
    RECORD,
    REPORT,
    Done,
    Record,
    Settings,
    Study,
    StudyError,
    done_of,
    made_from_tables,
    new_record,
    read_record,
    table_path,
    write_record,
)
from vitro.report import GENERATOR
from vitro.study_page import draw
from vitro.tables import checked
from vitro.tasks import Task, as_task

PARTS = "parts"
"""Where a long experiment keeps its finished parts until all are done."""


def run_study(
    model: str | Path,
    task: Task | str,
    out: str | Path,
    options: Options = DEFAULT_OPTIONS,
    *,
    experiments: Collection[str] = EVERY_STUDY,
    device: str = "cpu",
    dtype: str = "float32",
    trust_numbers: bool = False,
) -> Study:
    """Measure a task on a model and write tables, figures and report to a folder.

    model: a name or path, as `vitro.load` takes it. task: or its name or file (see `vitro.tasks.named`). experiments:
    names in `EXPERIMENTS`; those whose tables they are shown with come along. device, dtype, trust_numbers: as
    `vitro.load` takes them. The folder is written experiment by
    experiment; after a stop of any kind the same call does only what is missing.

    Raises `StudyError` where the folder holds something else, and `ModelError`, `TaskError`, `OptionError` or
    `FolderError` where model, task, options or folder will not do, before anything is written; `DrawingError` where
    all is measured and written and a limit of the machine (`ulimit -v`) keeps the figures from being drawn.

    >>> vitro.run_study(folder, task, tmp_path, experiments=["clean"]).table("clean")["top_token"][0]
    ' Tuesday'
    """
    if not isinstance(model, str | Path):
        raise ModelError(
            f"the model is {a_kind(model)}, and a study is of files; what works: a name or path, as for vitro.load, "
            "or vitro.mount(model, task), which writes no folder"
        )
    check_options(options)
    task = as_task(task, options.seed)
    check_writable(Path(out))
    return study_of(Source(str(model), options, Machine(device, dtype, trust_numbers)), task, Path(out), experiments)


@dataclass(frozen=True)
class Source:
    """The model that studies are of, by its name, with all that they have in common but the task.

    Its files are found and hashed, and it is loaded, when that is first needed, and once.
    """

    name: str
    options: Options = DEFAULT_OPTIONS
    machine: Machine = DEFAULT_MACHINE
    room: Room | None = None
    """What it may take of the memory, where that is less than what is free."""

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Its files. Raises ModelError."""
        return find(self.name)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What the numbers depend on, but for the task. Raises ModelError."""
        with bar(f"reading {self.name}"):
            return identity(self.checkpoint, self.options, self.machine.device, self.machine.dtype)

    @cached_property
    def model(self) -> Model:
        """The model itself. Raises ModelError."""
        with bar(f"loading {self.name}"):
            return load_checkpoint(self.checkpoint, room=self.room, **asdict(self.machine))


def study_of(source: Source, task: Task, folder: Path, experiments: Collection[str] = EVERY_STUDY) -> Study:
    """The same as `run_study`, of a model that other studies may be of too.

    >>> days = study_of(Source(str(folder)), task, tmp_path, ["clean"])
    >>> days.table("clean").height
    7
    """
    if unknown := sorted(set(experiments) - set(EXPERIMENTS)):
        raise StudyError(f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    settings = Settings(task=_plain(task.identity()), **source.settings)
    with sole_writer(folder):
        record, missing = _missing(_found(folder, settings), experiments)
        remove_unfinished(folder)
        if record is None or missing:
            record = _measured(folder, record, missing, source, task, settings)
        write_record(folder, record)
        _show(folder, record)
    return Study(folder, record)


def finished_study(
    source: Source, task: Task, folder: Path, experiments: Collection[str] = EVERY_STUDY
) -> Study | None:
    """The study that `study_of` would make, where its folder says that it is there and nothing is missing; else None.

    Neither are the model's files looked at, which may be on another machine, nor is anything written. Where they are
    here, and younger than the study, it may be of others: then `study_of` has to say.

    >>> finished_study(Source(str(folder)), task, tmp_path, ["clean"])
    """
    try:
        record = read_record(folder)
    except StudyError:
        return None
    if record is None or _is_younger(source.name, folder / RECORD):
        return None
    settings, machine = record.settings, source.machine
    asked = record.loaded.asked_dtype if record.loaded else settings.dtype
    recorded = settings.model, settings.task, settings.options, settings.device, asked
    if recorded != (source.name, _plain(task.identity()), chosen(source.options), machine.device, machine.dtype):
        return None
    record, missing = _missing(_with_tables(folder, record), experiments)
    return Study(folder, record) if record and not missing and (folder / REPORT).exists() else None


def _is_younger(model: str, file: Path) -> bool:
    """Whether a model of this machine was changed after a file was."""
    path = Path(model).expanduser()
    try:
        files = [path, *(path.iterdir() if path.is_dir() else ())]
        return any(entry.stat().st_mtime > file.stat().st_mtime for entry in files)
    except (OSError, ValueError):
        return False


def _plain(value: Any) -> Any:
    """A value in the form that JSON gives back, which has no tuples."""
    return json.loads(json.dumps(value))


def _missing(record: Record | None, experiments: Collection[str]) -> tuple[Record | None, list[Experiment]]:
    """What is to be measured, in its order; and the record, in which what that makes outdated is so marked."""
    done = record.experiments if record else {}
    known = {*done, *record.left_out, *record.without_value} if record else set()
    # What there was no time for goes on.
    unfinished = {name for name in experiments if name in done and not done[name].finished}
    wanted = (with_needs(experiments) - known) | unfinished
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
    return record, missing


def _measured(
    folder: Path,
    record: Record | None,
    missing: Collection[Experiment],
    source: Source,
    task: Task,
    settings: Settings,
) -> Record:
    """The record with the missing experiments measured and written, one after the other."""
    measured: dict[str, Tables] = {}
    if record is not None:
        study = Study(folder, record)
        kept = [done for done in done_of(record) if done not in missing]
        measured = {done.name: {name: study.table(name) for name in done.tables} for done in kept}
    # Without tables of before, nothing but vitro is at fault.
    begun_anew = not measured
    parts = Parts.of(folder / PARTS, settings.model_dump(mode="json"))
    seconds = {} if record is None else {name: done.seconds for name, done in record.experiments.items()}
    setup = Setup(source.model, task, source.options, measured, seconds, part=parts)
    setup.check()
    record = record or new_record(settings, setup, source.machine.trust_numbers)
    lacks = {experiment.name: reason for experiment in missing if (reason := experiment.lacks(setup))}
    record = record.model_copy(update={"left_out": {**record.left_out, **lacks}})
    for experiment in missing:
        if experiment.name in lacks:
            continue
        try:
            with nullcontext() if begun_anew else made_from_tables(folder, experiment.title):
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
            write_record(folder, record)
        for name, (_, content) in tables.items():
            write_file(table_path(folder, name), content)
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
        write_record(folder, record)
        if done.finished:
            parts.remove(experiment.name)
    return record


def with_needs(names: Collection[str]) -> set[str]:
    """Experiments by their names, and those whose tables they are shown with."""
    needed = {need.name for name in names for need in EXPERIMENTS[name].needs}
    return set(names) if needed <= set(names) else with_needs(needed.union(names))


def _beside(experiment: Experiment, measured: Collection[str]) -> list[str]:
    """Which of the measured experiments it compares."""
    return [other.name for other in experiment.beside if other.name in measured]


def open_study(folder: str | Path) -> Study:
    """A study that is on disk. Raises `StudyError` where there is none.

    >>> _ = vitro.run_study(folder, task, tmp_path, experiments=["clean"])
    >>> vitro.open_study(tmp_path).record.settings.task["name"]
    'days'
    """
    record = read_record(Path(folder))
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
    record = read_record(folder)
    if record is None:
        if strangers := _strangers(folder):
            raise StudyError(f"{folder} is not empty and holds no study ({strangers[0]}); choose another --out")
        return None
    if record.settings != settings:
        given, recorded = settings.model_dump(), record.settings.model_dump()
        name = next(name for name in given if given[name] != recorded[name])
        short = _difference(name, recorded[name], given[name])
        raise StudyError(f"{folder} holds another study: {short}; choose another --out")
    return _with_tables(folder, record)


def _with_tables(folder: Path, record: Record) -> Record:
    """The record as far as its tables exist."""
    here = {name: done for name, done in record.experiments.items() if _is_here(folder, done)}
    return record.model_copy(update={"experiments": here})


def _strangers(folder: Path) -> list[str]:
    """Files that no study wrote, in a folder without study.json (a study stopped early or partly removed)."""
    tables, figures, parts = folder / "tables", folder / "figures", folder / PARTS
    own = {tables, figures, parts, *(parts / name for name in EXPERIMENTS)}
    own |= {table_path(folder, name) for experiment in EXPERIMENTS.values() for name in experiment.tables}
    paths = [path for place in (folder, tables, figures, parts) if place.is_dir() for path in place.iterdir()]
    strange = [path for path in paths if path not in own and path.name[0] != "." and not _is_drawn(folder, path)]
    return sorted(str(path.relative_to(folder)) for path in strange)


def _is_drawn(folder: Path, path: Path) -> bool:
    """Whether a file is a study's page or figure, judged by its beginning: other files are not overwritten."""
    if path == folder / REPORT:
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


def _is_here(folder: Path, done: Done) -> bool:
    return all(table_path(folder, name).is_file() for name in done.tables)


def _show(folder: Path, record: Record) -> None:
    """Draw every figure and the page. DrawingError where a limit of the machine forbids it, which says what is kept."""
    try:
        draw(folder, record)
    except DrawingError as error:
        kept = f"all that was measured is in {folder}, and vitro report {folder} draws it where that is allowed"
        raise DrawingError(f"{error}; {kept}") from error
