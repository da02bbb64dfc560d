"""Every option once: its name, type, range, default, help and group.

A frozen dataclass whose fields are made by `option` is a set of options. What is typed, checked, shown in the help and
written into a report's command all follow from its fields; the command line asks for the fields by the class.
"""

import json
import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, Protocol, TypeVar, get_args

from vitro.errors import VitroError, a_kind
from vitro.heads import Head, HeadError

Ablation = Literal["zero", "random", "mean", "resample", "counterfactual"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
"""What a component's output is replaced by: nothing, its mean over sentences without the task, its mean over sentences
without what tells the prompts apart, its output on another prompt of the task, its output on the prompt's partner."""

MetricName = Literal["logit_diff", "margin", "prob_diff", "answer_prob", "answer_logit", "among_answers", "right_first"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
"""The metrics that can be ranked by (see `vitro.metrics`). Not `kl`: it says how far a run is from the clean one, not
whether for better or worse."""

ScoreName = Literal["exact", "eap", "eap-ig", "eap-ig-activations", "relp", "flow", "random"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
"""How edges can be scored (docs/method.md, section 9)."""

Level = Literal["node", "edge"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""How far a circuit is searched: to its heads and MLPs, or on to the edges between them."""

ValueBias = Literal["excluded", "included"]
UnembedDirection = Literal["folded", "raw"]
SteerPositions = Literal["final", "all"]
OutputBias = Literal["excluded", "included"]
IgEndpoints = Literal["mib", "paper"]
AnswerTokens = Literal["whole", "first_token"]
"""How an answer of several tokens is treated: refused, or cut to its first token where that tells right from wrong."""
BadRows = Literal["refuse", "skip"]
"""How a row that does not fit is treated: as an error, or left out with a note."""


class OptionError(VitroError):
    """An option is out of range, or a text cannot be read as its value."""


class Kind(Protocol):
    """A type of command line values."""

    @property
    def shown(self) -> str:
        """The placeholder for a value in the help: "n", "mib|paper"."""

    def read(self, text: str) -> Any:
        """A value from its text. Raises `OptionError` for a bad text, "'x' is not a number"."""

    def write(self, value: Any) -> str:
        """A value as it is typed: the inverse of `read`."""

    def wanted(self, value: Any) -> str | None:
        """What the value must be, "0 or more"; None where the value is valid."""


@dataclass(frozen=True)
class Whole:
    """A whole number, `least` or more, `most` at most."""

    least: int
    most: int = 10**18
    shown: str = "n"

    def read(self, text: str) -> int:
        """`7`."""
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text):
            raise OptionError(f"{text!r} is not a whole number of up to 18 digits")
        return int(text)

    def write(self, value: int) -> str:
        """`7`."""
        return str(value)

    def wanted(self, value: Any) -> str | None:
        """Whether it is large enough, and not too large."""
        if not isinstance(value, int) or isinstance(value, bool):
            return "a whole number"
        if value > self.most:
            return f"{self.most:,} at most"
        return None if value >= self.least else f"{self.least} or more"


@dataclass(frozen=True)
class Size:
    """A number of bytes."""

    shown: str = "size"

    def read(self, text: str) -> int:
        """`500MB`, `2GB`, `1.5GiB` or a plain number."""
        match = re.fullmatch(
            r"(?P<number>[0-9]{1,19}(\.[0-9]{1,18})?)\s*(?P<unit>[kmgt]?)(?P<binary>i?)b?", text.strip().lower()
        )
        if match is None:
            raise OptionError(f"{text!r} is not a size; what works: 500MB, 2GB, 1.5GiB")
        base = 1024 if match["binary"] else 1000
        return int(float(match["number"]) * base ** " kmgt".index(match["unit"] or " "))

    def write(self, value: int) -> str:
        """The plain number."""
        return str(value)

    def wanted(self, value: Any) -> str | None:
        """Whether it is positive, and fits into 63 bits, as a machine's memory does."""
        fine = isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63
        return None if fine else "a positive number of bytes, below 2^63"


@dataclass(frozen=True)
class Duration:
    """A number of seconds."""

    shown: str = "time"

    def read(self, text: str) -> float:
        """`90s`, `5m`, `1.5h` or plain seconds; `inf` for as long as it takes."""
        number = text.strip().lower()
        if number == "inf":
            return math.inf
        unit = {"s": 1, "m": 60, "h": 3600}.get(number[-1:])
        try:
            seconds = _number(number[:-1]) * unit if unit else _number(number)
        except ValueError:
            seconds = math.inf
        if not math.isfinite(seconds):
            raise OptionError(f"{text!r} is not a time; what works: 90s, 5m, 1.5h")
        return seconds

    def write(self, value: float) -> str:
        """Plain seconds."""
        return repr(float(value)).removesuffix(".0")

    def wanted(self, value: Any) -> str | None:
        """Whether it is positive."""
        fine = isinstance(value, float | int) and not isinstance(value, bool) and value > 0
        return None if fine else "a time of more than 0 seconds"


@dataclass(frozen=True)
class Share:
    """A number above 0, up to 1."""

    shown: str = "x"

    def read(self, text: str) -> float:
        """`0.85`."""
        try:
            return _number(text)
        except ValueError as error:
            raise OptionError(f"{text!r} is not a number; what works: 0.85") from error

    def write(self, value: float) -> str:
        """`0.85`."""
        return repr(float(value)).removesuffix(".0")

    def wanted(self, value: Any) -> str | None:
        """Whether it is a share."""
        return None if _is_finite(value) and 0 < value <= 1 else "a number above 0, and 1 at most"


@dataclass(frozen=True)
class Amount:
    """A number above 0."""

    shown: str = "x"

    def read(self, text: str) -> float:
        """`0.5`, `2`."""
        try:
            return _number(text)
        except ValueError as error:
            raise OptionError(f"{text!r} is not a number; what works: 1") from error

    def write(self, value: float) -> str:
        """`0.5`, `2`."""
        return repr(float(value)).removesuffix(".0")

    def wanted(self, value: Any) -> str | None:
        """Whether it is above 0, and finite."""
        return None if _is_finite(value) and value > 0 else "a number above 0"


class AsTyped:
    """Values that are texts, typed as they stand; `wanted` checks them."""

    def read(self, text: str) -> str:
        """As it stands."""
        return text

    def write(self, value: str) -> str:
        """As it stands."""
        return value


@dataclass(frozen=True)
class Text(AsTyped):
    """Any text."""

    shown: str = "text"

    def wanted(self, value: Any) -> str | None:
        """Whether it is a text that can be written: what was typed in no UTF-8 comes as halves of characters."""
        whole = isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
        return None if whole else "a text, in UTF-8"


@dataclass(frozen=True)
class Choice(AsTyped):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def shown(self) -> str:
        """`mib|paper`; where the words are many, the help lists them."""
        return "|".join(self.words) if len(self.words) <= 3 else "name"

    def wanted(self, value: Any) -> str | None:
        """Whether it is one of the words."""
        return None if value in self.words else " or ".join(self.words)


@dataclass(frozen=True)
class Choices:
    """Some of a few words, each once."""

    words: tuple[str, ...]
    shown: str = "name,name,..."

    def read(self, text: str) -> tuple[str, ...]:
        """`zero,mean`."""
        return tuple(word.strip() for word in text.split(","))

    def write(self, value: Sequence[str]) -> str:
        """`zero,mean`."""
        return ",".join(value)

    def wanted(self, value: Any) -> str | None:
        """Whether they are some of the words."""
        fine = isinstance(value, tuple) and value and set(value) <= set(self.words) and len(set(value)) == len(value)
        return None if fine else f"one or more of {', '.join(self.words)}, each once"


@dataclass(frozen=True)
class Numbers:
    """One or more finite numbers."""

    shown: str = "x,x,..."

    def read(self, text: str) -> tuple[float, ...]:
        """`-1,5`."""
        try:
            return tuple(map(_number, text.split(",")))
        except ValueError as error:
            raise OptionError(f"{text!r} are not numbers; what works: -5,-1,0,1,5") from error

    def write(self, value: Sequence[float]) -> str:
        """`-1,5`; as many digits as tell the numbers from all others."""
        return ",".join(repr(float(number)).removesuffix(".0") for number in value)

    def wanted(self, value: Any) -> str | None:
        """Whether they are finite."""
        fine = isinstance(value, Sequence) and value and all(map(_is_finite, value))
        return None if fine else "one or more finite numbers"


@dataclass(frozen=True)
class Heads:
    """One or more heads, each once."""

    shown: str = "head,head,..."

    def read(self, text: str) -> tuple[Head, ...]:
        """`9.1,10.3` or `a9.h1,a10.h3`."""
        try:
            return tuple(map(Head.parse, text.split(",")))
        except HeadError as error:
            raise OptionError(f"{text!r} are not heads; what works: 9.1,10.3") from error

    def write(self, value: Sequence[tuple[int, int]]) -> str:
        """`9.1,10.3`."""
        return ",".join(f"{layer}.{head}" for layer, head in value)

    def wanted(self, value: Any) -> str | None:
        """Whether each is there once."""
        fine = isinstance(value, Sequence) and value and all(map(_is_head, value)) and len(set(value)) == len(value)
        return None if fine else "one or more as (9, 1), each once"


def _number(text: str) -> float:
    """A number in digits; ValueError for nan, 1_0 and the digits of other scripts, which Python takes too."""
    if not re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", text):
        raise ValueError
    return float(text)


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_head(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(number, Integral) for number in value)


@dataclass(frozen=True)
class Flag(AsTyped):
    """A choice of two; a flag without a value, `--skip-bad-rows`, makes the second."""

    off: str
    on: str
    shown: str = ""

    def wanted(self, value: Any) -> str | None:
        """Whether it is one of the two."""
        return None if value in (self.off, self.on) else f"{self.off} or {self.on}"


@dataclass(frozen=True)
class Switch(Flag):
    """Off, or on where its flag is typed."""

    off: str = "no"
    on: str = "yes"

    def read(self, text: str) -> bool:  # type: ignore[override]
        """`yes`."""
        return text == self.on

    def write(self, value: bool) -> str:  # type: ignore[override]
        """`yes` or `no`."""
        return self.on if value else self.off

    def wanted(self, value: Any) -> str | None:
        """Whether it is True or False."""
        return None if isinstance(value, bool) else "True or False"


@dataclass(frozen=True)
class Option:
    """How a field is typed and documented.

    typed: with its dashes. default: the value where it is not typed. unset: what None stands for, where the option may
    be None ("chosen by rule").
    """

    name: str
    typed: str
    default: Any
    kind: Kind
    group: str
    help: str
    unset: str | None

    def write(self, value: Any) -> str:
        """A value as it is typed, and as reports show it; None in words."""
        return str(self.unset) if value is None else self.kind.write(value)

    def check(self, value: Any) -> None:
        """Raise `OptionError` where the value is out of range."""
        if value is None and self.unset is not None:
            return
        if wanted := self.kind.wanted(value):
            raise OptionError(f"{self.name} must be {wanted}, not {value!r}")


T = TypeVar("T")
S = TypeVar("S")


def option(default: T, kind: Kind, group: str, help: str, *, unset: str | None = None, typed: str = "") -> T:
    """A field of a set of options (see `Option`); typed as the field is named unless `typed` is given."""
    metadata = {"kind": kind, "group": group, "help": help, "unset": unset, "typed": typed}
    return field(default=default, metadata=metadata)


def options_of(of: Any) -> list[Option]:
    """The options of a set of options, or of its class, in their order."""
    return [
        Option(
            entry.name,
            entry.metadata["typed"] or f"--{entry.name.replace('_', '-')}",
            entry.default,
            entry.metadata["kind"],
            entry.metadata["group"],
            entry.metadata["help"],
            entry.metadata["unset"],
        )
        for entry in fields(of)
    ]


def checked(values: Any) -> None:
    """Raise `OptionError` where a value in a set of options is out of range."""
    for option in options_of(values):
        option.check(getattr(values, option.name))


def read(of: type[S], texts: Mapping[str, str]) -> S:
    """A set of options from the texts that were typed for some of them, by name.

    >>> read(Options, {"alphas": "0,1"}).alphas
    (0.0, 1.0)

    Raises `OptionError` for a text that is not a value, and for a value out of range.
    """
    values = {}
    for option in options_of(of):
        if option.name in texts:
            try:
                values[option.name] = option.kind.read(texts[option.name])
            except OptionError as error:
                raise OptionError(f"{option.typed}: {error}") from error
    return of(**values)


def command_line(command: str, arguments: Collection[str], *options: Any, **more: str | None) -> str:
    """A command as it is typed: its arguments, then the options that differ from the defaults.

    arguments: positional arguments. options: sets of options. more: the command's own options, by name; None where they
    are left out.

    >>> command_line("study", ["days"], Options(alphas=(0.0, 1.0)), model="gpt2")
    'vitro study days --model gpt2 --alphas 0,1'
    """
    words = ["vitro", command, *arguments]
    for name, text in more.items():
        words += [] if text is None else [f"--{name.replace('_', '-')}", text]
    for values in options:
        given = changed(values)
        for option in options_of(values):
            if option.name in given:
                text = option.kind.write(given[option.name])
                words += [option.typed] if isinstance(option.kind, Flag) else [option.typed, text]
    return shlex.join(words)


def changed(values: Any) -> dict[str, Any]:
    """Those of a set of options that differ from the defaults, by name.

    >>> changed(Options(samples=64, heads=((9, 1),)))
    {'samples': 64, 'heads': ((9, 1),)}
    """
    return {
        option.name: value for option in options_of(values) if (value := getattr(values, option.name)) != option.default
    }


def python_call(function: str, *arguments: Any, **more: Any) -> str:
    """A call as it stands in Python: its arguments, then those by name, of plain values (texts, numbers, tuples).

    >>> python_call("vitro.load", "gpt2", device="cuda")
    'vitro.load("gpt2", device="cuda")'
    """
    words = [*map(_literal, arguments), *(f"{name}={_literal(value)}" for name, value in more.items())]
    return f"{function}({', '.join(words)})"


def python_lines(model: str, machine: "Machine", *lines: str) -> str:
    """Lines of Python that load a model on a machine, and those that come after them.

    >>> print(python_lines("gpt2", Machine(dtype="bfloat16"), "vitro.successor(model)"))
    import vitro
    <BLANKLINE>
    model = vitro.load("gpt2", dtype="bfloat16")
    vitro.successor(model)
    """
    return "\n".join(["import vitro", "", f"model = {python_call('vitro.load', model, **changed(machine))}", *lines])


def _literal(value: Any) -> str:
    """A plain value in Python's spelling, texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


SENTENCES, HEADS, ABLATION, FINDING, CONVENTIONS, TASK, MACHINE = (
    "Drawn sentences", "Heads and steering", "Ablation and metric", "Finding the circuit", "Conventions", "Task",
    "Machine",
)  # fmt: skip
CELLS = "Many cells"


@dataclass(frozen=True)
class Options:
    """What a measurement leaves open; every choice is recorded with its results.

    >>> vitro.Options(samples=64, metric="logit_diff").metric
    'logit_diff'

    seed, samples: of the random and the mean dataset (the post does not give N; a replication used 256).
    ablations: which are measured; None: the task's own.
    metric: the one that rankings and summaries go by; tables keep all. None: the task's own.
    edge_ablation: what a cut edge's source is taken to write; None: the ablation that the task's summaries go by.
    top_edges: how many edges are cut alone, the strongest by EAP-IG; the others are not measured. None: all.
    faithful: the least faithfulness of the circuit that is searched, tau (docs/method.md, section 12).
    level: how far it is searched: to its nodes (heads and MLPs), or on to its edges.
    budget: seconds for finding it; what is reached by then is kept, and marked as not proved minimal.
    heads: the key heads, which the sections on single heads show; None: chosen by rule (see `key_heads`).
    steer_token, steer_layer, alphas: what is added to the stream at the end of which layer, times what; None: the
    task's own direction, and the layer before the first key head's.
    value_bias: whether a head's output contains what it adds at every position alike, b_V + b_LN W_V (b_LN: the bias of
    the norm before the heads). "excluded" is the post's, made with TransformerLens' folded weights: a zero-ablated head
    still passes that on. "included" is the raw model's. Where there is neither bias (Llama) the two are one; random and
    mean ablation do not depend on it.
    output_bias: whether the bias of a layer's heads (b_O) goes along with them in circuits where only wired heads are
    read (C3 to C9); the post does not say.
    unembed_direction: the steering vector, a token's column of W_U: "folded" as TransformerLens folds it (times the
    final norm's weight, centred), or "raw".
    steer_positions: where it is added: at the "final" stream, or at "all"; the post does not say.
    ig_endpoints: where EAP-IG takes its m gradients between the ablated embedding (0) and the clean one (1): "mib" at
    0 ... (m-1)/m, as MIB and the main branch of EAP-IG's code; "paper" at 1/m ... 1, as its paper.
    memory: bytes for everything but the model; None: the engine's default.
    """

    seed: int = option(0, Whole(0), SENTENCES, "The seed of all that is drawn: sentences, and a built-in task's rows.")
    samples: int = option(256, Whole(1, most=1_000_000), SENTENCES, "How many sentences to draw for each dataset.")
    ablations: tuple[Ablation, ...] | None = option(
        None, Choices(ABLATIONS), ABLATION, f"Which are measured: {', '.join(ABLATIONS)}.", unset="the task's own"
    )
    metric: MetricName | None = option(
        None,
        Choice(METRICS),
        ABLATION,
        f"What rankings and summaries go by: {', '.join(METRICS)}.",
        unset="the task's own",
    )
    sweep_prompts: int | None = option(
        None,
        Whole(1),
        ABLATION,
        "Ablate every head, MLP and edge on so many of the prompts, evenly spread over their kinds.",
        unset="all of a list of words, 32 of a pair task",
    )
    edge_ablation: Ablation | None = option(
        None,
        Choice(ABLATIONS),
        ABLATION,
        f"What a cut edge's source is taken to write: {', '.join(ABLATIONS)}.",
        unset="the task's own",
    )
    top_edges: int | None = option(
        None,
        Whole(1),
        ABLATION,
        "Cut only so many edges, the strongest by EAP-IG: a study of its own.",
        unset="all",
        typed="--top",
    )
    faithful: float = option(
        0.85, Share(), FINDING, "The least faithfulness of the circuit: the share of the metric that it has to keep."
    )
    level: Level = option("edge", Choice(LEVELS), FINDING, "How far it is searched: to its nodes, or on to its edges.")
    budget: float | None = option(
        None,
        Duration(),
        FINDING,
        "Stop after this time (90s, 5m), with the best circuit so far.",
        unset="none; in a study, a third of what the rest takes",
    )
    heads: tuple[tuple[int, int], ...] | None = option(
        None, Heads(), HEADS, "The key heads, as 9.1,10.3.", unset="by rule"
    )
    steer_token: str | None = option(
        None, Text(), HEADS, "The token whose direction steers.", unset="the task's own direction"
    )
    steer_layer: int | None = option(
        None, Whole(0), HEADS, "Steer after this layer.", unset="the one before the first key head's"
    )
    alphas: tuple[float, ...] = option(
        (-5.0, -1.0, 0.0, 1.0, 5.0, 100.0), Numbers(), HEADS, "What the steering direction is multiplied by, in turn."
    )
    value_bias: ValueBias = option(
        "excluded",
        Choice(get_args(ValueBias)),
        CONVENTIONS,
        "Whether a head's output has what it adds everywhere alike: excluded is the post's way.",
    )
    output_bias: OutputBias = option(
        "excluded", Choice(get_args(OutputBias)), CONVENTIONS, "Whether b_O comes along with the heads of circuits."
    )
    unembed_direction: UnembedDirection = option(
        "folded",
        Choice(get_args(UnembedDirection)),
        CONVENTIONS,
        "The steering direction: folded is the post's way (normed and centred).",
    )
    steer_positions: SteerPositions = option(
        "final",
        Choice(get_args(SteerPositions)),
        CONVENTIONS,
        "Where to steer: at the final stream, or at all of them.",
    )
    ig_endpoints: IgEndpoints = option(
        "mib",
        Choice(get_args(IgEndpoints)),
        CONVENTIONS,
        "Where EAP-IG takes its gradients: mib (0 to (m-1)/m, as its code), paper (1/m to 1).",
    )
    memory: int | None = option(
        None, Size(), MACHINE, "For all but the model, as 500MB or 2GB.", unset="1GiB, or a quarter of a GPU"
    )

    def __post_init__(self) -> None:
        checked(self)

    def __repr__(self) -> str:
        return python_call("Options", **changed(self))


DEFAULT_OPTIONS = Options()


def check_options(options: object) -> None:
    """Raises `OptionError` for what are no `Options`."""
    if not isinstance(options, Options):
        raise OptionError(f"the options are {a_kind(options)}; what works: vitro.Options(samples=50)")


@dataclass(frozen=True)
class TaskOptions:
    """The choices that a named task leaves open, beside the seed (see `vitro.tasks.named`)."""

    answer_tokens: AnswerTokens = option(
        "whole",
        Flag("whole", "first_token"),
        TASK,
        "Take an answer of several tokens by its first, where that tells right from wrong.",
        typed="--first-token",
    )
    bad_rows: BadRows = option(
        "refuse",
        Flag("refuse", "skip"),
        TASK,
        "Leave out a file's rows that do not fit, and say which.",
        typed="--skip-bad-rows",
    )
    counterfactual: str | None = option(
        None, Text("name"), TASK, "Which of a file's counterfactuals is the partner.", unset="the file's own"
    )

    def __post_init__(self) -> None:
        checked(self)


@dataclass(frozen=True)
class Machine:
    """The device a model runs on, its number format, and whether it is used where its numbers differ.

    trust_numbers: go on where Vitro's logits on a short prompt, which it compares whenever it loads a model, are not
    those of transformers (`vitro.models.parity`); this is recorded.
    """

    device: str = option("cpu", Text(), MACHINE, "cpu, cuda, cuda:1, mps.")
    dtype: str = option("float32", Text(), MACHINE, "float32, bfloat16, float16, or auto: as the checkpoint is stored.")
    trust_numbers: bool = option(
        False,
        Switch(),
        MACHINE,
        "Go on where a model's logits are not those of transformers, which every load compares; it is recorded.",
    )

    def __post_init__(self) -> None:
        checked(self)


DEFAULT_MACHINE = Machine()


@dataclass(frozen=True)
class Spread:
    """How the cells of an atlas are spread over processors and machines. No number depends on it but for `threads`.

    on: where the cells are made: None, on this machine; "ray", on a Ray cluster: that of RAY_ADDRESS, or one that is
    started here; "ray://host:10001", on that one. jobs: how many are made at a time; None: one here, on Ray as many as
    the cluster has room for. threads: by how many each is computed; other numbers of threads give other last bits.
    gpus, memory: what a cell takes of a Ray cluster. retries: how often a cell is tried again whose worker was killed.
    shared_disk: whether all machines of the cluster see the atlas's folder by the same name: then they write into it.
    """

    on: str | None = option(None, Text("ray|ray://host:10001"), CELLS, "Where cells are made.", unset="on this machine")
    jobs: int | None = option(
        None, Whole(1, most=10_000), CELLS, "How many at a time.", unset="1; on Ray, what the cluster has room for"
    )
    threads: int = option(1, Whole(1, most=1024), CELLS, "Threads for each cell; another number gives other last bits.")
    cell_gpus: float | None = option(None, Amount(), CELLS, "GPUs that a cell takes of a Ray cluster.", unset="none")
    cell_memory: int | None = option(
        None, Size(), CELLS, "Memory that a cell takes of a Ray cluster, as 16GiB.", unset="not counted"
    )
    retries: int = option(1, Whole(0, most=100), CELLS, "Tries more for a cell whose worker was killed.")
    shared_disk: bool = option(
        False, Switch(), CELLS, "The whole Ray cluster sees --out under the same name, and writes into it."
    )

    def __post_init__(self) -> None:
        checked(self)
        if self.on is None:
            for name in ("cell_gpus", "cell_memory", "shared_disk"):
                if getattr(self, name):
                    raise OptionError(f"--{name.replace('_', '-')} is for a Ray cluster; what works: --on ray")
        elif self.on != "ray" and not re.fullmatch(r"ray://[^/\s]+:[0-9]+", self.on):
            raise OptionError(f"--on {self.on[:60]!r} is no place; what works: ray, or ray://host:10001")


DEFAULT_SPREAD = Spread()
