"""The cells of an atlas: which models are named, where each cell's study lies, which models are one training run."""

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from vitro.atlases.work import Job
from vitro.errors import VitroError
from vitro.files import FileError, read_bytes, text_of
from vitro.tasks import Task

CELLS = "cells"
"""Where an atlas's folder has the studies: `cells/TASK/MODEL`."""
_LARGEST_LIST = 2**24
_STEP = re.compile(
    r"(?:^|[^a-z])(?:global[-_]?step|step|checkpoint|ckpt|iter)[-_]?(?P<step>[0-9]{1,15})(?![0-9])", re.I
)


class AtlasError(VitroError):
    """What is to be compared is not said well: no model, one named twice, a list that cannot be read."""


def models_of(text: str) -> tuple[str, ...]:
    """The models that are named: in a list, `gpt2,smollm2`, or in a file, one a line; `#` begins a comment.

    >>> models_of("gpt2, EleutherAI/pythia-70m@step1000")
    ('gpt2', 'EleutherAI/pythia-70m@step1000')

    Raises `AtlasError` where the file cannot be read, or no model is named.
    """
    path = Path(text).expanduser()
    is_list = text.endswith((".txt", ".lst", ".list")) or (path.is_file() and path.suffix.lower() != ".gguf")
    if is_list and "," not in text:
        try:
            lines = text_of(read_bytes(path, _LARGEST_LIST)).splitlines()
        except FileError as error:
            raise AtlasError(
                f"--models {text}: {error}; what works: a file with a model a line, or gpt2,smollm2"
            ) from error
        names = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    else:
        names = [name.strip() for name in text.split(",")]
    named = tuple(filter(None, names))
    if not named:
        raise AtlasError(f"--models {text}: no model is named; what works: gpt2,smollm2, or a file with one a line")
    return named


def jobs_of(models: Sequence[str], tasks: Sequence[Task], out: Path) -> list[Job]:
    """Every task on every model, model by model. Raises `AtlasError` where one is named twice, or none is.

    >>> [str(job.folder) for job in jobs_of(["org/m@step10"], [vitro.tasks.days()], Path("atlas"))]
    ['atlas/cells/days/org--m@step10']
    """
    for what, names in (("model", list(models)), ("task", [task.typed for task in tasks])):
        if not names:
            raise AtlasError(f"no {what} is named; an atlas is of one or more")
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise AtlasError(f"the {what} {twins[0]!r} is named twice")
    return [
        Job(model, task, out / CELLS / folder_name(task.typed.replace(":", "-")) / folder_name(model))
        for model in models
        for task in tasks
    ]


def folder_name(name: str) -> str:
    """A folder's name that tells a model, or a task, from all others, and in most cases reads like it.

    >>> folder_name("EleutherAI/pythia-70m@step1000")
    'EleutherAI--pythia-70m@step1000'
    >>> folder_name("/data/runs/a b/step1000")
    'a-b--step1000-b46fc485'
    """
    plain = name.replace("/", "--")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", plain) and "--" not in name:
        return plain
    # What cannot be read back from the name is told by a hash.
    last = "--".join(part for part in name.split("/")[-2:] if part)
    short = re.sub(r"[^A-Za-z0-9._@-]+", "-", last)[-60:].strip("-.") or "model"
    return f"{short}-{sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def checkpoint_of(model: str) -> tuple[str, int] | None:
    """Of which training run a model is a checkpoint, and after how many steps, where its name says so.

    >>> checkpoint_of("EleutherAI/pythia-70m@step1000"), checkpoint_of("runs/a/checkpoint-500/"), checkpoint_of("gpt2")
    (('EleutherAI/pythia-70m', 1000), ('runs/a', 500), None)
    """
    if "@" in model:
        run, _, last = model.rpartition("@")
    else:
        run, _, last = model.rstrip("/").rpartition("/")
    match = _STEP.search(last)
    return (run, int(match["step"])) if match and run else None
