"""The examples in docstrings run, and give what they show.

They have one form, that of doctest: what is typed after `>>> `, and below it what it gives; `...` stands for any text.
An example may use, without making them:

- `vitro`, and all names of its own module;
- `model`: a tiny GPT-2 in which two heads do the day task (tests/planted.py); `folder`: its checkpoint, as a string;
- `task`: `vitro.tasks.days()`; `prompts`: its token ids for this model;
- `case`: a `vitro.discovery.Case`, the task's logit difference with resampled sources on this model;
- `tmp_path`: an empty folder.

Floats are rounded in the example itself, so that it holds on every machine.
"""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import vitro
from vitro.circuits import resampled
from vitro.discovery import Case
from vitro.metrics import METRICS
from vitro.models import Model

SOURCE = Path(vitro.__file__).parents[1]
MODULES = [
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for file in sorted(SOURCE.rglob("*.py"))
    if ">>> " in file.read_text("utf-8")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
EXAMPLES = {
    test.name: test
    for module in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    if test.examples
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(
    name: str, planted_model: Model, planted_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = vitro.tasks.days()
    assert planted_model.tokenizer is not None
    EXAMPLES[name].globs.update(
        vitro=vitro,
        model=planted_model,
        folder=str(planted_folder),
        task=task,
        prompts=planted_model.tokenizer(list(task.prompts)).input_ids,
        tmp_path=tmp_path,
    )
    questions = task.questions(planted_model.tokenizer, None)
    constants = resampled(planted_model, questions.tokens, seed=0)
    EXAMPLES[name].globs["case"] = Case(planted_model, questions, METRICS["logit_diff"], constants)
    results = doctest.DocTestRunner(optionflags=FLAGS).run(EXAMPLES[name])
    assert not results.failed, capsys.readouterr().out


def test_every_public_function_and_class_has_an_example() -> None:
    public = {name: getattr(vitro, name) for name in vitro.__all__}
    shown = {name for name, value in public.items() if ">>> " in (inspect.getdoc(value) or "")}
    callables = {name for name, value in public.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert callables - shown == set()
