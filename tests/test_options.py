"""Options: a command that is written is read back by the command line as the very same options."""

import inspect
import math
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vitro.cli import atlas, edges, find, reproduce, study, successor
from vitro.cli.parameters import takes_options
from vitro.options import (
    Amount,
    Choice,
    Choices,
    Duration,
    Flag,
    Heads,
    Machine,
    Numbers,
    Option,
    OptionError,
    Options,
    Share,
    Size,
    Spread,
    Switch,
    TaskOptions,
    Text,
    Whole,
    command_line,
    options_of,
    read,
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def values_of(option: Option) -> st.SearchStrategy[Any]:
    """Any value that an option may have."""
    kinds: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
        Whole: lambda kind: st.integers(kind.least, min(kind.most, 10**12)),
        Share: lambda kind: st.floats(0, 1, exclude_min=True),
        Duration: lambda kind: st.floats(0, exclude_min=True),
        Size: lambda kind: st.integers(1, 10**15),
        Amount: lambda kind: st.floats(0, exclude_min=True, allow_infinity=False),
        Text: lambda kind: TEXTS,
        Choice: lambda kind: st.sampled_from(kind.words),
        Choices: lambda kind: st.lists(st.sampled_from(kind.words), min_size=1, unique=True).map(tuple),
        Numbers: lambda kind: st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1).map(tuple),
        Heads: lambda kind: st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, unique=True).map(
            tuple
        ),
        Flag: lambda kind: st.sampled_from((kind.off, kind.on)),
        Switch: lambda kind: st.booleans(),
    }
    values = kinds[type(option.kind)](option.kind)
    return values if option.unset is None else st.none() | values


def any_of(options: Any, *names: str) -> st.SearchStrategy[Any]:
    """A set of options with any values for those of some names, or for all."""
    chosen = [option for option in options_of(options) if not names or option.name in names]
    return st.builds(options, **{option.name: values_of(option) for option in chosen})


spreads = st.builds(
    Spread,
    st.sampled_from(["ray", "ray://a.host:10001"]),
    **{name: values_of(option) for option in options_of(Spread) if (name := option.name) != "on"},
) | any_of(Spread, "jobs", "threads", "retries")


def heard(command: Callable[..., None], line: str) -> dict[str, Any]:
    """What a command of the command line is called with where a line is typed."""
    given: dict[str, Any] = {}
    bare = inspect.unwrap(command)

    @wraps(bare)
    def record(**values: Any) -> None:
        given.update(values)

    app = typer.Typer()
    app.command()(takes_options(record))
    words = shlex.split(line)
    assert words[:2] == ["vitro", bare.__name__]
    typer.main.get_command(app).main(words[2:], standalone_mode=False)
    return given


@settings(max_examples=60)
@given(any_of(Options), any_of(TaskOptions), any_of(Machine), st.sampled_from(["days", "numbers:100", "a b/it's.csv"]))
@example(Options(steer_token="--model"), TaskOptions(counterfactual="-"), Machine(), "days")
@example(Options(budget=math.inf), TaskOptions(), Machine(), "days")
def test_a_study_s_command_is_read_back_as_the_same_study_as_its_edges_and_as_its_circuit(
    options: Options, task_options: TaskOptions, machine: Machine, task: str
) -> None:
    of_their_own: list[tuple[Callable[..., None], dict[str, Any]]] = [
        (study.study, {"also": None, "no_find": False, "measure": None}),
        (edges.edges, {"scores": "exact,eap,eap-ig"}),
        (find.find, {"ablation": None}),
    ]
    for command, own in of_their_own:
        name = inspect.unwrap(command).__name__
        line = command_line(name, [task], task_options, options, machine, model="a model's folder")
        assert heard(command, line) == {
            "task": task,
            "model": "a model's folder",
            "options": options,
            "task_options": task_options,
            "machine": machine,
            "out": None,
            "as_json": False,
            **own,
        }


@settings(max_examples=60)
@given(any_of(Options), any_of(Machine), spreads)
def test_an_atlas_s_command_is_read_back_as_the_same_atlas(options: Options, machine: Machine, spread: Spread) -> None:
    line = command_line(
        "atlas", ["days,ioi:5"], options, machine, spread, models="a,b c", out="an atlas", measure="find"
    )
    assert heard(atlas.atlas, line) == {
        "tasks": "days,ioi:5",
        "models": "a,b c",
        "out": Path("an atlas"),
        "options": options,
        "task_options": TaskOptions(),
        "machine": machine,
        "spread": spread,
        "measure": "find",
        "dry_run": False,
        "written_as": None,
        "as_json": False,
    }


@settings(max_examples=30)
@given(
    any_of(Options, "seed", "samples", "value_bias", "unembed_direction", "steer_positions", "output_bias", "memory"),
    any_of(Machine),
)
def test_the_commands_on_the_pages_of_claims_and_successor_heads_are_read_back(
    options: Options, machine: Machine
) -> None:
    claims = heard(
        reproduce.reproduce, command_line("reproduce", [], options, machine, model="gpt2", out="claims page.html")
    )
    assert (claims["options"], claims["machine"], str(claims["out"])) == (options, machine, "claims page.html")
    seed = Options(seed=options.seed)
    line = command_line("successor", [], seed, machine, model="gpt2", out="page.html", top="7")
    heads = heard(successor.successor, line)
    assert (heads["options"], heads["machine"], heads["top"]) == (seed, machine, 7)


def test_what_is_not_typed_is_the_default_and_what_is_the_default_is_not_written() -> None:
    assert command_line("study", ["days"], TaskOptions(), Options(), Machine(), model="gpt2") == (
        "vitro study days --model gpt2"
    )
    given = heard(study.study, "vitro study days --model gpt2")
    assert (given["options"], given["task_options"], given["machine"]) == (Options(), TaskOptions(), Machine())


def test_every_option_says_what_it_is_and_is_typed_in_its_own_way() -> None:
    options = [*options_of(Options), *options_of(TaskOptions), *options_of(Machine)]
    assert all(option.help.endswith(".") and option.group and option.kind for option in options)
    assert len({option.typed for option in options}) == len({option.name for option in options}) == len(options)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("seed", "x", "--seed: 'x' is not a whole number of up to 18 digits"),
        ("seed", "-1", "seed must be 0 or more, not -1"),
        ("steer_layer", "1.5", "--steer-layer: '1.5' is not a whole number of up to 18 digits"),
        ("faithful", "x", "--faithful: 'x' is not a number; what works: 0.85"),
        ("faithful", "0", "faithful must be a number above 0, and 1 at most, not 0.0"),
        ("faithful", "nan", "--faithful: 'nan' is not a number; what works: 0.85"),
        ("level", "x", "level must be node or edge, not 'x'"),
        ("budget", "Soon", "--budget: 'Soon' is not a time; what works: 90s, 5m, 1.5h"),
        ("budget", "s", "--budget: 's' is not a time"),
        ("budget", "0m", "budget must be a time of more than 0 seconds, not 0.0"),
        ("budget", "nan", "--budget: 'nan' is not a time; what works: 90s, 5m, 1.5h"),
        ("heads", "9", "--heads: '9' are not heads; what works: 9.1,10.3"),
        ("heads", "9.1,9.1", "heads must be one or more as .9, 1., each once"),
        ("alphas", "1,,2", "--alphas: '1,,2' are not numbers; what works: -5,-1,0,1,5"),
        ("alphas", "nan", "--alphas: 'nan' are not numbers; what works: -5,-1,0,1,5"),
        ("metric", "loss", "metric must be logit_diff or margin or"),
        ("ablations", "zero,none", "ablations must be one or more of zero, random, mean, resample, counterfactual"),
        ("ablations", "zero,zero", "each once"),
        ("edge_ablation", "none", "edge_ablation must be zero or random or mean or resample or counterfactual"),
        ("memory", "lots", "--memory: 'lots' is not a size; what works: 500MB, 2GB, 1.5GiB"),
        ("memory", "0", "memory must be a positive number of bytes"),
    ],
)
def test_what_is_no_value_is_told_with_what_works(name: str, text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says.replace("(", "\\(")):
        read(Options, {name: text})


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("500MB", 5 * 10**8), ("2GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("7", 7), ("1 kb", 1000)]
)
def test_sizes_are_read(text: str, n_bytes: int) -> None:
    assert read(Options, {"memory": text}).memory == n_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1MB", "1XB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="500MB"):
        read(Options, {"memory": text})
