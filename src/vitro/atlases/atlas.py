"""An atlas: every task on every model, a study each, and what they come to beside each other."""

import json
import math
import platform
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape
from importlib.metadata import version
from pathlib import Path

import polars as pl

from vitro.atlases.cells import CELLS, AtlasError, jobs_of
from vitro.atlases.collect import Result, tables_of
from vitro.atlases.page import findings, page_of
from vitro.atlases.process import Process
from vitro.atlases.queue import Outcome, outcomes
from vitro.atlases.work import Bench, Job, Work, Worker
from vitro.experiments import EXPERIMENTS, measurements
from vitro.folder import check_writable, remove_unfinished_in, sole_writer, write_file
from vitro.limits import Room, free_memory
from vitro.options import (
    DEFAULT_MACHINE,
    DEFAULT_OPTIONS,
    DEFAULT_SPREAD,
    Machine,
    Options,
    Spread,
    TaskOptions,
    changed,
    check_options,
    command_line,
    options_of,
    python_call,
)
from vitro.parts import to_parquet
from vitro.progress import bar
from vitro.record import Study
from vitro.study import Source, finished_study, open_study
from vitro.tables import Tables, counted
from vitro.tasks import Task, as_task

MEASURE = ("clean", "head_ablation", "key_heads", "direct_attribution", "find", "successor")
"""What an atlas measures unless it is told otherwise."""
PAGE, SECONDS = "atlas.html", "seconds.csv"
Told = Callable[[Outcome, int, int, float], None]
"""Is told what became of a cell, the how many-eth of how many, and the seconds since the one before."""


@dataclass(frozen=True)
class Atlas:
    """An atlas's folder, its cells and its tables.

    >>> atlas = vitro.atlas([folder], ["days"], tmp_path / "atlas", measure=["clean_run"])
    >>> atlas.table["task", "state", "accuracy"].rows()
    [('days', 'done', 1.0)]
    """

    folder: Path
    tables: Tables
    """`atlas`, a row a cell; `overlaps`, what tasks share; `seconds` (docs/tables.md)."""

    @property
    def table(self) -> pl.DataFrame:
        """Table `atlas`."""
        return self.tables["atlas"]

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.folder / PAGE

    def study(self, model: str, task: str) -> Study:
        """The study of a task on a model, both as they were named. Raises `AtlasError` where it is not there."""
        rows = self.table.filter(model=model, task=task)
        if rows.height == 0:
            raise AtlasError(f"this atlas has no cell of {task} on {model}; see its table")
        if rows["state"][0] != "done":
            raise AtlasError(f"{task} on {model} is not done ({rows['reason'][0] or 'it was not begun'})")
        return open_study(self.folder / rows["folder"][0])

    def __repr__(self) -> str:
        return "\n".join([*findings(self.tables), f"The page: {self.page}"])

    def _repr_html_(self) -> str:
        """For notebooks: what was found, and the cells."""
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in findings(self.tables))
        return f"{sentences}{self.table._repr_html_()}"


@dataclass(frozen=True)
class Asked:
    """An atlas as it is asked for: all but where and how its cells are made."""

    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    out: Path
    measure: tuple[str, ...] = MEASURE
    options: Options = DEFAULT_OPTIONS
    machine: Machine = DEFAULT_MACHINE
    listed: str = ""
    """The list of models as it was typed, where it was: a file's name."""
    jobs: Sequence[Job] = field(init=False)
    """Its cells, model by model."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "jobs", jobs_of(self.models, self.tasks, self.out))
        if self.options.budget is None:
            # What there is time for, as a study measures by default, would be another circuit on every machine.
            object.__setattr__(self, "options", replace(self.options, budget=math.inf))

    def study(self, job: Job) -> Study | None:
        """A cell's study, where nothing of it is missing."""
        source = Source(job.model, self.options, self.machine)
        return finished_study(source, job.task, job.folder, self.measure)


def atlas(
    models: Sequence[str | Path],
    tasks: Sequence[Task | str],
    out: str | Path,
    options: Options = DEFAULT_OPTIONS,
    *,
    measure: Collection[str] = MEASURE,
    device: str = "cpu",
    dtype: str = "float32",
    trust_numbers: bool = False,
    on: str | None = None,
    jobs: int | None = None,
    threads: int = 1,
    cell_gpus: float | None = None,
    cell_memory: int | None = None,
    retries: int = 1,
    shared_disk: bool = False,
) -> Atlas:
    """Every task on every model, a study each, in a folder; one table and one page of them all (docs/atlas.md).

    models, tasks: as `vitro.run_study` takes one. measure: names of measurements, as `vitro study --measure` takes
    them; a circuit is searched for to the end, unless the options give a budget. device, dtype, trust_numbers: as
    `vitro.load` takes them. on, jobs, ...: how cells are spread over processes or machines (`vitro.options.Spread`).
    A cell that fails is a row with its reason. After a stop of any kind the same call makes only what is missing,
    failed cells among it; it compares the cells that are named, and leaves others that the folder has as they are.

    Raises `AtlasError`, `TaskError`, `OptionError` or `FolderError` where the call will not do, before anything is
    written, and `FolderError` where the disk is full; what is finished by then is kept.

    >>> atlas = vitro.atlas([folder], ["days"], tmp_path / "atlas", measure=["clean_run"])
    >>> atlas.study(folder, "days").table("clean").height
    7
    """
    check_options(options)
    named = tuple(as_task(task, options.seed) for task in tasks)
    machine = Machine(device, dtype, trust_numbers)
    spread = Spread(on, jobs, threads, cell_gpus, cell_memory, retries, shared_disk)
    return run(Asked(tuple(map(str, models)), named, Path(out), measurements(measure), options, machine), spread)


def run(asked: Asked, spread: Spread = DEFAULT_SPREAD, told: Told = lambda *_: None) -> Atlas:
    """Make what is missing of an atlas, then its tables and its page. Raises what `atlas` does.

    Where it is stopped, by Ctrl-C or otherwise, tables and page show what is there.
    """
    check_writable(asked.out)
    with sole_writer(asked.out):
        if strangers := sorted(path.name for path in asked.out.iterdir() if _is_strange(path)):
            raise AtlasError(f"{asked.out} is not empty and holds no atlas ({strangers[0]}); choose another --out")
        remove_unfinished_in(asked.out)
        reasons: dict[Path, str] = {}
        try:
            missing = [job for job in asked.jobs if asked.study(job) is None]
            begun = time.perf_counter()
            with closing(_outcomes(missing, asked, spread)) as made:
                for number, outcome in enumerate(made):
                    if outcome.reason is not None:
                        reasons[outcome.job.folder] = outcome.reason
                    now = time.perf_counter()
                    told(outcome, number + 1, len(missing), now - begun)
                    begun = now
        except KeyboardInterrupt:
            _collect(asked, reasons, spread)
            raise
        return _collect(asked, reasons, spread)


def _outcomes(missing: Sequence[Job], asked: Asked, spread: Spread) -> Generator[Outcome, None, None]:
    """What becomes of the cells that are to be made."""
    work = Work(asked.measure, asked.options, asked.machine, spread.threads)
    if not missing:
        return
    if spread.on is not None:
        # Here, where it is asked for: those who have no cluster need not have Ray.
        from vitro.atlases.on_ray import ray_workers

        with ray_workers(work, spread, len(missing)) as workers:
            yield from _counted(missing, workers, spread.retries)
        return
    jobs = min(spread.jobs or 1, len(missing))
    if jobs == 1:
        bench = Bench(work)
        yield from (Outcome(job, bench.ask(job)) for job in missing)
        return
    shared = replace(work, room=share(jobs))
    yield from _counted(missing, [Process(shared) for _ in range(jobs)], spread.retries)


def _counted(missing: Sequence[Job], workers: Sequence[Worker], retries: int) -> Generator[Outcome, None, None]:
    """`outcomes` under a bar; the worker of this process has bars of its own."""
    what = f"{counted(len(missing), 'cell')}, {len(workers)} at a time"
    with bar(what) as progress, closing(outcomes(missing, workers, retries)) as made:
        for number, outcome in enumerate(made):
            progress(number + 1, len(missing))
            yield outcome


def share(jobs: int) -> Room | None:
    """What each of several processes may take of the memory that is free; None where a system does not say."""
    free = [room.free for room in free_memory() if room.what == "memory"]
    return Room(f"what each of {jobs} jobs may take", min(free) // jobs) if free else None


def _collect(asked: Asked, reasons: Mapping[Path, str], spread: Spread) -> Atlas:
    """Write tables and page of what is there."""
    tables = tables_of(_results(asked, reasons), asked.out)
    for name in ("atlas", "overlaps"):
        write_file(asked.out / f"{name}.parquet", to_parquet(tables[name]))
    # Not with the tables, which are the same in every run.
    write_file(asked.out / SECONDS, tables["seconds"].write_csv().encode())
    page = page_of(
        tables,
        title=f"{counted(len(asked.tasks), 'task')} on {counted(len(asked.models), 'model')}",
        asked=f"Tasks: {', '.join(task.typed for task in asked.tasks)}.",
        facts=_facts(asked, spread),
        command=command_of(asked, spread),
        python=_python(asked, spread),
    )
    write_file(asked.out / PAGE, page.encode())
    return Atlas(asked.out, tables)


def _results(asked: Asked, reasons: Mapping[Path, str]) -> Iterator[Result]:
    for job in asked.jobs:
        if (study := asked.study(job)) is not None:
            yield Result(job, "done", study=study)
        else:
            reason = reasons.get(job.folder)
            yield Result(job, "missing" if reason is None else "failed", reason)


def _is_strange(path: Path) -> bool:
    """Whether no atlas has such a file in its folder."""
    own = {CELLS, PAGE, SECONDS, "atlas.parquet", "overlaps.parquet"}
    return path.name not in own and not path.name.startswith(".")


def command_of(asked: Asked, spread: Spread = DEFAULT_SPREAD) -> str:
    """The command that makes an atlas."""
    return command_line(
        "atlas",
        [",".join(task.typed for task in asked.tasks)],
        *(_named_with(asked.tasks), _as_given(asked.options), asked.machine, spread),
        models=asked.listed or ",".join(asked.models),
        out=str(asked.out),
        measure=None if asked.measure == MEASURE else ",".join(_calls(asked.measure)),
    )


def cell_command(asked: Asked, job: Job, spread: Spread = DEFAULT_SPREAD) -> str:
    """The command that makes a cell by itself, in a shell: the same study, to the last bit."""
    command = command_line(
        "study",
        [job.task.typed],
        *(job.task.named_with, asked.options, asked.machine),
        model=job.model,
        out=str(job.folder),
        measure=",".join(_calls(asked.measure)),
    )
    return f"OMP_NUM_THREADS={spread.threads} {command}"


def _python(asked: Asked, spread: Spread) -> str:
    """The lines of Python that make an atlas."""
    given = changed(_as_given(asked.options))
    with_options = [python_call("vitro.Options", **given)] if given else []
    named = {name: value for values in (asked.machine, spread) for name, value in changed(values).items()}
    if asked.measure != MEASURE:
        named["measure"] = tuple(_calls(asked.measure))
    seed = {"seed": asked.options.seed} if asked.options.seed else {}
    tasks = [python_call("vitro.tasks.named", task.typed, **seed, **changed(task.named_with)) for task in asked.tasks]
    words = [
        json.dumps(list(asked.models), ensure_ascii=False),
        f"[{', '.join(tasks)}]",
        json.dumps(str(asked.out), ensure_ascii=False),
        *with_options,
        *python_call("", **named)[1:-1].split("\n"),
    ]
    return f"import vitro\n\natlas = vitro.atlas({', '.join(filter(None, words))})\natlas.table"


def _facts(asked: Asked, spread: Spread) -> list[tuple[str, str]]:
    options = _as_given(asked.options)
    packages = ("vitro", "torch", "transformers", "numpy", "polars")
    return [
        ("Tasks", ", ".join(task.typed for task in asked.tasks)),
        ("Measured", ", ".join(_calls(asked.measure))),
        *(
            (option.typed, option.write(getattr(options, option.name)))
            for option in options_of(Options)
            if option.name in changed(options)
        ),
        *(
            (option.typed, option.write(getattr(values, option.name)))
            for values in (asked.machine, spread)
            for option in options_of(values)
        ),
        (
            "Versions",
            ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]),
        ),
        ("Settings of each cell", "its report says them: model, weights, options, versions"),
    ]


def _calls(measure: Collection[str]) -> list[str]:
    return [EXPERIMENTS[name].call for name in measure]


def _as_given(options: Options) -> Options:
    return replace(options, budget=None) if options.budget == math.inf else options


def _named_with(tasks: Sequence[Task]) -> TaskOptions:
    """The choices that some of the tasks leave open."""
    return next((task.named_with for task in tasks if changed(task.named_with)), TaskOptions())
