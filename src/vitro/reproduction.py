"""The post's claims, checked on a checkpoint of GPT-2 small's shape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any, get_args

import polars as pl

from vitro.circuits import POST, setups
from vitro.claims import CLAIMS, Claim, Finding, Verdict, by_chance
from vitro.errors import VitroError
from vitro.experiments import EXPERIMENTS, Setup, Tables
from vitro.experiments.answer_table import table_of
from vitro.experiments.circuits import tables_of
from vitro.experiments.setup import Part, anew
from vitro.figures import Figure
from vitro.models import Model, check_model
from vitro.models.families.gpt2 import GPT2
from vitro.options import (
    Machine,
    Options,
    SteerPositions,
    UnembedDirection,
    ValueBias,
    changed,
    python_call,
    python_lines,
)
from vitro.report import Page, Section, Sentence, render
from vitro.tasks import TaskError, named

HEADS = ((9, 1), (10, 3), (8, 1), (6, 9), (7, 10))
"""The heads that the claims name; the first two are pinned together."""
COMPONENTS = ("a7.h1", "a9.h1", "a10.h3", "resid_post8", "resid_mid9", "resid_post9", "logits")
"""The components whose answer tables the post shows or mentions."""
DAYS = (
    "prompts", "clean", "head_ablation", "head_lens", "layer_lens", "mlp_local", "mlp_ablation", "answer_table",
    "attention", "attention_pin", "stream_top", "steering", "circuits",
)  # fmt: skip
NEEDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "days": (DAYS, ("C1", "C2", "C3", "C4", "C5", "C6", "C7")),
    "months": (("prompts", "clean", "head_lens", "circuits"), ("C7",)),
    "numbers:10": (("prompts", "clean", "circuits"), ("C9",)),
    "numbers:100": (("prompts", "clean", "circuits"), ("C9",)),
}
"""For every task the experiments and the circuits that its claims are checked on."""
BY_CONVENTION = (15, 16, 17, 18, 19, 26, 27)
"""Claims whose numbers depend on conventions that the post does not state."""


@dataclass(frozen=True)
class Checked:
    """A claim and its finding."""

    claim: Claim
    finding: Finding | None
    """None where the claim cannot be asked of this checkpoint."""
    why: str = ""
    """The reason, where it cannot."""

    @property
    def verdict(self) -> Verdict:
        """Whether the claim is reproduced, differs, or does not apply."""
        if self.finding is None:
            return "not applicable"
        return "reproduced" if self.finding.holds else "differs"


@dataclass(frozen=True)
class Reproduction:
    """All claims as checked on one checkpoint, and the tables that they were checked on."""

    model: str
    options: Options
    checked: tuple[Checked, ...]
    tables: Mapping[str, Tables]
    """For every task."""

    @property
    def table(self) -> pl.DataFrame:
        """A row per claim: id, section, claim, the post's value, the value here, verdict, by chance.

        By chance: how many models with random weights satisfy the claim, as "3 of 20" (see `by_chance`).
        """
        satisfied, models = by_chance()
        return pl.DataFrame(
            {
                "id": [result.claim.id for result in self.checked],
                "section": [result.claim.section for result in self.checked],
                "claim": [result.claim.words for result in self.checked],
                "post": [result.claim.expected for result in self.checked],
                "here": [result.finding.value if result.finding else result.why for result in self.checked],
                "verdict": [result.verdict for result in self.checked],
                "by_chance": [f"{satisfied[result.claim.id]} of {models}" for result in self.checked],
            }
        )

    @property
    def differing(self) -> int:
        """How many claims differ."""
        return sum(result.verdict == "differs" for result in self.checked)

    def summary(self) -> str:
        """How many claims hold, and how many of those hold for random weights too."""
        counts = [sum(result.verdict == verdict for result in self.checked) for verdict in get_args(Verdict)]
        satisfied, models = by_chance()
        easy = sum(result.verdict == "reproduced" and satisfied[result.claim.id] > 0 for result in self.checked)
        return (
            f"{counts[0]} of {len(self.checked)} claims reproduced, {counts[1]} differ, {counts[2]} not applicable. "
            f"Of those reproduced, {easy} hold for one or more of {models} models with random weights too."
        )

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def reproduce(
    model: Model,
    name: str = "gpt2",
    options: Options = Options(),  # noqa: B008 (frozen)
    part: Part = anew,
) -> Reproduction:
    """Check the post's claims, 0 to 39, on a model of GPT-2 small's shape.

    name: what the model is called in the result. options: seed, samples and conventions; heads and steering are the
    post's. part: makes every task's experiments, or finds them where an earlier run left them.

    The result's `table` has a row per claim: the post's value, the value here, the verdict, and how many models with
    random weights satisfy the claim too.

    Raises `VitroError` for a model of another shape, about which the post says nothing.

    >>> try:
    ...     vitro.reproduce(model)  # on GPT-2 small: vitro.reproduce(vitro.load("gpt2")).summary()
    ... except vitro.VitroError as error:
    ...     print(error)
    the claims are about GPT-2 small (12 layers of 12 heads, 768 wide), and this is GPT2 with 3 layers of 4 heads, ...
    """
    check_model(model)
    check_shape(model)
    options = posts_own(options)
    tables: dict[str, Tables] = {}
    missing: dict[str, str] = {}
    for task in NEEDS:
        try:
            tables[task] = measured(model, task, options, part)
        except TaskError as error:
            missing[task] = str(error)
    if not tables:
        raise VitroError(f"no claim can be asked of {name}: {missing['days']}")
    checked = tuple(
        Checked(claim, claim.check(tables[claim.task]))
        if claim.task in tables
        else Checked(claim, None, missing[claim.task])
        for claim in CLAIMS
    )
    return Reproduction(name, options, checked, tables)


def posts_own(options: Options) -> Options:
    """The options with the post's heads and steering."""
    return replace(
        options, heads=HEADS, steer_layer=8, steer_token=" tomorrow", alphas=(-5.0, -1.0, 0.0, 1.0, 5.0, 100.0)
    )


def measured(model: Model, task: str, options: Options, part: Part = anew) -> Tables:
    """All tables that the claims about a task are checked on."""
    if task != "days":
        # These prompts have no "tomorrow" to steer by, and no claim about them needs steering.
        options = replace(options, steer_token=None)
    setup = Setup(model, named(task), options, part=part)
    setup.check()
    experiments, circuits = NEEDS[task]
    wired = setups(model, POST, options.output_bias)
    own: Mapping[str, Callable[[], Tables]] = {
        "answer_table": lambda: {"answer_table": table_of(setup, COMPONENTS)},
        "circuits": lambda: tables_of(setup, {name: wired[name] for name in circuits}),
    }
    for name in experiments:
        make = own.get(name, partial(setup.tables, EXPERIMENTS[name]))
        setup.measured[name] = part(f"{setup.task.name}/{name}", make)
    return {name: table for tables in setup.measured.values() for name, table in tables.items()}


def check_shape(model: Model) -> None:
    """VitroError unless the model has GPT-2 small's architecture and size."""
    shape = model.shape
    if not isinstance(model, GPT2) or (shape.n_layers, shape.n_heads, shape.d_model) != (12, 12, 768):
        raise VitroError(
            f"the claims are about GPT-2 small (12 layers of 12 heads, 768 wide), and this is {type(model).__name__} "
            f"with {shape.n_layers} layers of {shape.n_heads} heads, {shape.d_model} wide; what works: --model gpt2, "
            "or a folder with a checkpoint of that shape; vitro study measures any model"
        )


def compare_conventions(model: Model, options: Options = Options()) -> pl.DataFrame:  # noqa: B008 (frozen)
    """Claims 15 to 19, 26 and 27 under every combination of the conventions that the post does not state.

    The rows of `ranked`, one for each combination.
    """
    check_shape(model)
    own = posts_own(options)
    Setup(model, named("days"), own).check()

    @cache
    def tables_of_experiment(name: str, **conventions: Any) -> Tables:
        """An experiment's tables under the conventions that it depends on."""
        return Setup(model, named("days"), replace(own, **conventions)).tables(EXPERIMENTS[name])

    by_conventions: dict[Conventions, Tables] = {}
    for value_bias, direction, where in product(*map(get_args, (ValueBias, UnembedDirection, SteerPositions))):
        by_conventions[value_bias, direction, where] = {
            **tables_of_experiment("prompts"),
            **tables_of_experiment("clean"),
            **tables_of_experiment("attention"),
            **tables_of_experiment("head_lens", value_bias=value_bias),
            **tables_of_experiment("steering", unembed_direction=direction, steer_positions=where),
        }
    return ranked(by_conventions)


Conventions = tuple[ValueBias, UnembedDirection, SteerPositions]


def ranked(by_conventions: Mapping[Conventions, Tables]) -> pl.DataFrame:
    """How claims 15 to 19, 26 and 27 fare on the tables of each combination of conventions.

    A row per combination: value_bias, unembed_direction, steer_positions, reproduced (how many of the claims hold),
    holding (which), distance (mean absolute difference from the post's numbers, over the claims that have some). The
    most reproducing come first, then the least distant, then the post's own.
    """
    claims = [claim for claim in CLAIMS if claim.id in BY_CONVENTION]
    rows = []
    for conventions, tables in by_conventions.items():
        checked = {claim.id: claim.check(tables) for claim in claims}
        holding = [number for number, result in checked.items() if result.holds]
        distances = [result.distance for result in checked.values() if result.distance is not None]
        words = ", ".join(map(str, holding))
        rows.append((*conventions, len(holding), words, sum(distances) / len(distances)))
    names = ["value_bias", "unembed_direction", "steer_positions", "reproduced", "holding", "distance"]
    table = pl.DataFrame(rows, schema=names, orient="row")
    return table.sort("reproduced", "distance", descending=[True, False], maintain_order=True)


def reproduce_most(compared: pl.DataFrame) -> list[str]:
    """The combinations of `compare_conventions` that reproduce most, the closest first; empty if none does any."""
    most = compared.filter((pl.col("reproduced") == pl.col("reproduced").max()) & (pl.col("reproduced") > 0))
    return [" ".join(row) for row in most.select(compared.columns[:3]).iter_rows()]


def page(reproduction: Reproduction, command: str, machine: Machine = Machine()) -> str:  # noqa: B008 (frozen)
    """The claims as an HTML page that goes through the post in its order, each section with its figures.

    command: the command line that makes it; machine: where it was made. The page says how to make it again.
    """
    table = reproduction.table
    sections = []
    for title in table["section"].unique(maintain_order=True):
        rows = table.filter(section=title)
        shown = [(task, name) for task, name in FIGURES.get(title, ()) if task in reproduction.tables]
        figures: dict[str, Figure] = {}
        for task, name in shown:
            drawn = EXPERIMENTS[name].figures(reproduction.tables[task])
            # Figures share a page, so each needs its own name.
            suffix = "" if task == "days" else f"-{task.replace(':', '-')}"
            figures |= {f"{key}{suffix}": figure for key, figure in drawn.items()}
        holding = (rows["verdict"] == "reproduced").sum()
        sections.append(
            Section(
                name=title.lower().replace(" ", "-"),
                title=title,
                reading=f"{holding} of {len(rows)} claims of this section are reproduced.",
                figures=figures,
                numbers=rows.select("id", "verdict", "claim", "post", "here", pl.col("by_chance").alias("by chance")),
            )
        )
    options = reproduction.options
    # The post's own heads and steering are not typed.
    typed = replace(options, heads=None, steer_layer=None, steer_token=None, memory=None)
    facts = [
        ("Model", reproduction.model),
        ("Seed, samples", f"{options.seed}, {options.samples}"),
        ("Value bias", options.value_bias),
        ("Unembed direction", options.unembed_direction),
        ("Steer positions", options.steer_positions),
        ("Output bias", options.output_bias),
    ]
    return render(
        Page(
            title="Mechanistically interpreting time in GPT-2 small: the claims",
            lead=[Sentence(reproduction.summary())],
            facts=facts,
            sections=sections,
            command=command,
            python=python_lines(
                reproduction.model,
                machine,
                f"options = {python_call('vitro.Options', **changed(typed))}",
                "vitro.reproduce(model, options=options)",
            ),
        )
    )


FIGURES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "The Task": (("days", "clean"),),
    "Head ablation": (("days", "head_ablation"),),
    "Logit lens applied to heads": (("days", "head_lens"), ("days", "answer_table")),
    "Attention patterns": (("days", "attention"), ("days", "attention_pin"), ("days", "stream_top")),
    "Logit lens applied to layers": (("days", "layer_lens"), ("days", "steering")),
    "Layer MLPs": (("days", "mlp_local"), ("days", "mlp_ablation")),
    "In-Vitro Results": (("days", "circuits"),),
    "Generalizations": (("months", "circuits"), ("numbers:10", "circuits"), ("numbers:100", "circuits")),
}
"""The figures of each section of the post, as (task, experiment)."""
