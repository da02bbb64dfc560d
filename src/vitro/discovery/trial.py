"""What circuits within a model are worth. Each is measured once, however many searches ask for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.circuits import run_masks, run_node_sets
from vitro.discovery.case import Case
from vitro.discovery.curve import faithfulness, has_span
from vitro.discovery.search import OutOfTimeError, Sets, Worth
from vitro.engine import Finals

TOGETHER, FEWEST, TOKENS = 64, 4, 4096
"""The most and the fewest circuits that are run at once, and the tokens of all of them between these: so often is the
clock looked at, and what was measured kept. It follows from the prompts, so that equal searches give equal bits."""

Keep = Callable[[str, Callable[[], Mapping[str, pl.DataFrame]]], Mapping[str, pl.DataFrame]]
"""Makes the tables of a name, or finds them where an earlier run left them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was read of some circuits. right: whether the right answer leads the list, or else all wrong ones."""

    metric: Float[np.ndarray, "circuit prompt"]
    right: Bool[np.ndarray, "circuit prompt"]


def read_answers(case: Case) -> Callable[[Finals], dict[str, Tensor]]:
    """Reads the case's metric and whether prompts are answered right (docs/method.md, section 12.1)."""

    def read(finals: Finals) -> dict[str, Tensor]:
        answers = case.asked[finals.prompts].of_logits(finals)
        return {"metric": case.metric.of(answers), "right": answers.rank_asked() == 0}

    return read


@dataclass(frozen=True, eq=False)
class Ends:
    """The whole model and the wholly ablated run, prompt by prompt: 1 and 0 of faithfulness."""

    model: Float[np.ndarray, " prompt"]
    empty: Float[np.ndarray, " prompt"]
    right: Bool[np.ndarray, " prompt"]
    """Whether the model answers right."""

    @classmethod
    def of(cls, case: Case) -> "Ends":
        """Both ends of a case.

        >>> Ends.of(case).model.shape
        (7,)
        """
        graph = case.graph
        measured = _numbers(
            run_masks(case.within, np.stack([graph.among(graph.nodes), graph.mask([])]), read_answers(case))
        )
        return cls(measured.metric[0], measured.metric[1], measured.right[0])

    @property
    def differ(self) -> bool:
        """Whether the mean metric differs between them by more than rounding: else nothing can be faithful."""
        return has_span(self.model, self.empty)

    def worth(self, measured: Measured, prompts: Int[np.ndarray, " drawn"] | None = None) -> Worth:
        """What circuits are worth on all prompts, or on some of them, each as often as it is named."""
        at = np.arange(len(self.model)) if prompts is None else prompts
        model, empty = self.model[at].mean(), self.empty[at].mean()
        return Worth(faithfulness(measured.metric[:, at].mean(1), model, empty), measured.right[:, at].sum(1))


def _numbers(values: Mapping[str, Tensor]) -> Measured:
    return Measured(values["metric"].double().numpy(), values["right"].numpy())


class Items(Protocol):
    """Circuits as sets of items: nodes, or edges."""

    @property
    def case(self) -> Case:
        """What they are judged by."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each item is called."""

    def run(self, sets: Sets) -> Mapping[str, Tensor]:
        """What `read_answers` reads of each set."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """Heads and MLPs as items: all edges among those of a set, the input and the logits."""

    case: Case

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the graph's sources, without the input."""
        return tuple(map(str, self.case.graph.sources[1:]))

    def run(self, sets: Sets) -> Mapping[str, Tensor]:
        """What `read_answers` reads of each set."""
        return run_node_sets(self.case.within, np.insert(sets, 0, True, axis=1), read_answers(self.case))


@dataclass(frozen=True, eq=False)
class Edges:
    """Some of the graph's edges as items. numbers: which of them."""

    case: Case
    numbers: Int[np.ndarray, " item"]

    @property
    def names(self) -> tuple[str, ...]:
        """In the graph's order."""
        return tuple(str(self.case.graph.edges[number]) for number in self.numbers)

    def masks(self, sets: Sets) -> Bool[np.ndarray, "set edge"]:
        """The sets as masks over all edges of the graph."""
        masks = np.zeros((len(sets), len(self.case.graph)), dtype=bool)
        masks[:, self.numbers] = sets
        return masks

    def run(self, sets: Sets) -> Mapping[str, Tensor]:
        """What `read_answers` reads of each set."""
        return run_masks(self.case.within, self.masks(sets), read_answers(self.case))


def without_keeping(name: str, make: Callable[[], Mapping[str, pl.DataFrame]]) -> Mapping[str, pl.DataFrame]:
    """Makes the tables and keeps nothing."""
    return make()


@dataclass(eq=False)
class Trials:
    """Measures sets of items, each once. until: a time of `time.monotonic` at which `OutOfTimeError` is raised.

    keep: where results are kept between runs, under `name` and what was measured.
    """

    items: Items
    name: str = "trials"
    keep: Keep = without_keeping
    until: float = np.inf
    known: dict[bytes, tuple[Float[np.ndarray, " prompt"], Bool[np.ndarray, " prompt"]]] = field(default_factory=dict)

    def __call__(self, sets: Sets) -> Measured:
        """What each set gives, prompt by prompt."""
        keys = [row.tobytes() for row in np.packbits(sets, axis=1)]
        # Sorted, so that circuits that begin alike are run together.
        new = sorted({key: row for row, key in enumerate(keys) if key not in self.known}.items())
        together = min(TOGETHER, max(FEWEST, TOKENS // sum(self.items.case.questions.lengths)))
        for start in range(0, len(new), together):
            chunk = new[start : start + together]
            measured = self._kept(sets[[row for _, row in chunk]])
            rows = zip(measured.metric, measured.right, strict=True)
            self.known |= {key: values for (key, _), values in zip(chunk, rows, strict=True)}
        metric, right = zip(*(self.known[key] for key in keys), strict=True)
        return Measured(np.stack(metric), np.stack(right))

    def _kept(self, sets: Sets) -> Measured:
        def make() -> dict[str, pl.DataFrame]:
            if time.monotonic() >= self.until:
                raise OutOfTimeError
            measured = _numbers(self.items.run(sets))
            return {"metric": pl.DataFrame(measured.metric), "right": pl.DataFrame(measured.right)}

        digest = sha256(np.packbits(sets, axis=1).tobytes()).hexdigest()[:24]
        tables = self.keep(f"{self.name}-{digest}", make)
        return Measured(tables["metric"].to_numpy(), tables["right"].to_numpy())
