"""The parameters of commands: shared arguments, and sets of options as a parameter for each option."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from vitro.options import (
    SCORES,
    Choices,
    Flag,
    Machine,
    Option,
    OptionError,
    Options,
    ScoreName,
    Spread,
    TaskOptions,
    options_of,
    read,
)

if TYPE_CHECKING:
    from vitro.tasks import Task

TaskArgument = Annotated[
    str, typer.Argument(help="A task's name (days, numbers:100, ioi:50) or a file with one (see vitro tasks).")
]
ModelOption = Annotated[
    str,
    typer.Option(help="A hub id (gpt2, gpt2@main), a folder, a .gguf file, smollm2, ... (see vitro models)."),
]
FolderOption = Annotated[Path | None, typer.Option(help="The study's folder. Default: studies/TASK-MODEL.")]
MeasureOption = Annotated[
    str | None,
    typer.Option(
        metavar="<name,name,...>",
        help="Only these measurements, by what they are called in Python: clean_run, ablate_heads, find, ...",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ScoresOption = Annotated[
    str, typer.Option(metavar="<name,name,...>", help=f"How edges are scored: some of {', '.join(SCORES)}.")
]


@dataclass(frozen=True)
class Only:
    """Beside the class of a set of options, in `Annotated`: the names of those that a command takes."""

    names: tuple[str, ...]


SETS = (Options, TaskOptions, Machine, Spread)


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters of the types in `SETS` are, for typer, a parameter for each of their options."""
    sets: dict[str, tuple[Any, list[Option]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        of, only = _set_of(parameter.annotation)
        if of in SETS:
            options = [option for option in options_of(of) if only is None or option.name in only.names]
            sets[parameter.name] = of, options
            parameters += map(_parameter, options)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def typed(**values: Any) -> None:
        for name, (of, options) in sets.items():
            texts = {option.name: _text(option, values.pop(option.name)) for option in options}
            values[name] = read(of, {key: text for key, text in texts.items() if text is not None})
        command(**values)

    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typed


def _set_of(annotation: Any) -> tuple[Any, Only | None]:
    """What a parameter is annotated with, and which of its options a command takes; None: all."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    of, *marks = get_args(annotation)
    return of, next((mark for mark in marks if isinstance(mark, Only)), None)


def _parameter(option: Option) -> inspect.Parameter:
    """An option as typer takes it: a text, None where it is not typed and has no default; a flag as a bool."""
    text = None if option.default is None else option.write(option.default)
    info = typer.Option(
        option.typed,
        help=option.help,
        metavar=f"<{option.kind.shown}>",
        show_default=option.write(None) if text is None else True,
        rich_help_panel=option.group,
    )
    default: Any = text
    annotation: Any = Annotated[str | None, info]
    if isinstance(option.kind, Flag):
        flag = typer.Option(option.typed, help=option.help, rich_help_panel=option.group)
        default, annotation = False, Annotated[bool, flag]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _text(option: Option, value: Any) -> str | None:
    """What `_parameter` got, as the option's text."""
    if isinstance(option.kind, Flag):
        return option.kind.on if value else None
    return None if value is None else str(value)


def task_of(text: str, options: Options, task_options: TaskOptions) -> "Task":
    """The task with this name or file. Raises `TaskError` where there is none."""
    from vitro.tasks import named

    return named(
        text,
        seed=options.seed,
        answer_tokens=task_options.answer_tokens,
        bad_rows=task_options.bad_rows,
        counterfactual=task_options.counterfactual,
    )


def measured(text: str) -> tuple[str, ...]:
    """The measurements that are named, by their names in `EXPERIMENTS`. Raises `OptionError` where there is none."""
    from vitro.experiments import measurements

    return measurements(name.strip() for name in text.split(","))


def scores_of(text: str) -> tuple[ScoreName, ...]:
    """The scores that are named, each once. Raises `OptionError` where one is not."""
    kind = Choices(SCORES)
    names: tuple[ScoreName, ...] = kind.read(text)  # type: ignore[assignment]
    if wanted := kind.wanted(names):
        raise OptionError(f"--scores must be {wanted}, not {text!r}")
    return names


def rankings_of(text: str, options: Options) -> tuple[ScoreName, ...]:
    """The same, of scores by which all edges are ranked. Raises `OptionError` for exact scores of only some edges."""
    names = scores_of(text)
    if "exact" in names and options.top_edges is not None:
        raise OptionError("--top leaves edges without an exact score, and so without a rank; what works: eap-ig")
    return names


def default_folder(task: str, model: str, options: Options) -> Path:
    """The default folder of a study of a task on a model; another where only some edges are cut."""
    share = "" if options.top_edges is None else f"-top-{options.top_edges}"
    return Path("studies") / f"{task}-{re.sub(r'[^A-Za-z0-9._-]+', '-', model).strip('-.')}{share}"
