"""What a study's folder holds: study.json, and the tables that it calls finished."""

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from vitro.errors import VitroError
from vitro.experiments import EXPERIMENTS, Experiment, Setup, Tables
from vitro.files import FileError, MissingError, json_of, read_bytes, text_of
from vitro.folder import write_file
from vitro.identity import chosen
from vitro.limits import out_of_memory
from vitro.models import Model
from vitro.models.formats import AUTO
from vitro.models.origin import Origin
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
from vitro.parts import from_parquet
from vitro.tables import SchemaError, checked

FORMAT = 7
"""Of study.json; raised when older folders can no longer be continued."""
RECORD, REPORT = "study.json", "report.html"
"""What a study's folder says of itself, and its page."""
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


class Loaded(BaseModel):
    """How the model was read when the study was begun, and what its pass beside that of transformers gave."""

    asked_dtype: str | None
    """The number format as it was asked for; what "auto" came to stands in the settings."""
    text_part_of: str | None
    """The model type of the whole checkpoint, where only its text part was read."""
    trusted: bool
    """Whether it was used although the numbers differ by more than rounding explains."""
    parity: dict[str, Any]
    """See `vitro.models.parity.Parity`; None where a number is infinite."""
    parity_in_words: str

    @classmethod
    def of(cls, origin: Origin) -> "Loaded":
        """The record of a model's origin."""
        return cls(
            asked_dtype=origin.asked,
            text_part_of=origin.whole,
            trusted=origin.trusted,
            parity={**asdict(origin.parity), "tokens": list(origin.parity.tokens)},
            parity_in_words=str(origin.parity),
        )

    def facts(self, dtype: str) -> list[tuple[str, str]]:
        """What a page says of it: what a reader would not expect."""
        facts = []
        if self.asked_dtype == AUTO:
            facts.append(("Number format", f"{dtype}, as the checkpoint is stored (--dtype auto)"))
        if self.text_part_of:
            facts.append(("Part of the model", f"its text part, out of a {self.text_part_of} checkpoint"))
        if self.trusted:
            facts.append(("Not proved", f"the numbers are not those of transformers: {self.parity_in_words}"))
        return facts


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
    loaded: Loaded | None = None
    """None in records of before there was one."""
    task: dict[str, str]
    """Facts about the task for the report."""
    notes: list[str]
    """What was absorbed or left out in tokenizing; mostly nothing."""
    conventions: dict[str, str] = {}
    """What a model of this architecture makes one choose, and the choice; there is none to make in most models."""
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

    >>> study = vitro.run_study(folder, task, tmp_path, experiments=["clean"])
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
        return self.folder / REPORT

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
        path = table_path(self.folder, name)
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


@contextmanager
def made_from_tables(folder: Path, what: str) -> Iterator[None]:
    """Tell tables that say nothing, as those without rows, where measurements, figures and sentences are made of them.

    StudyError for whatever else than a VitroError is raised meanwhile.
    """
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
            f"{what} cannot be made from what the tables in {folder / 'tables'} hold ({type(error).__name__}, "
            f"{str(error)[:200]}); where one was changed, remove it and give the study's command again, which makes it "
            "anew; where none was, this is a fault of vitro, which vitro --debug shows"
        ) from error


def done_of(record: Record) -> list[Experiment]:
    """The finished experiments, in the order in which a study shows them."""
    return [experiment for name, experiment in EXPERIMENTS.items() if name in record.experiments]


def read_record(folder: Path) -> Record | None:
    """study.json; None where there is none, StudyError where it is not as this version writes it."""
    path = folder / RECORD
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


def write_record(folder: Path, record: Record) -> None:
    """Write study.json. Raises what `write_file` does."""
    write_file(folder / RECORD, (record.model_dump_json(indent=2) + "\n").encode())


def new_record(settings: Settings, setup: Setup, trust_numbers: bool = False) -> Record:
    """The record of a study of which nothing is measured yet."""
    packages = ("vitro", "torch", "transformers", "numpy", "polars")
    task, machine = setup.task, Machine(settings.device, settings.dtype, trust_numbers)
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
        model={
            "family": type(setup.model).__name__,
            **asdict(setup.model.shape),
            "parameters": sum(weight.numel() for weight in setup.model.hf.parameters()),
        },
        loaded=Loaded.of(setup.model.origin) if setup.model.origin else None,
        task=dict(setup.task.facts()),
        notes=list(setup.questions.notes),
        conventions=_conventions(setup.model),
        by_task=_by_task(setup),
    )


def _conventions(model: Model) -> dict[str, str]:
    """docs/method.md, section 4.3."""
    return {"post_norm": "held"} if any(block.after_heads is not None for block in model.blocks) else {}


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


def table_path(folder: Path, name: str) -> Path:
    """Where a study's folder has a table."""
    return folder / "tables" / f"{name}.parquet"
