"""Pair tasks whose rows are made from word lists: of the words that are single tokens for a tokenizer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vitro.options import TaskOptions
from vitro.tasks.agreement import verbs_of_its_number
from vitro.tasks.capitals import capital_of
from vitro.tasks.errors import TaskError
from vitro.tasks.greater_than import later_years
from vitro.tasks.ioi import all_names_new, second_subject_replaced
from vitro.tasks.pair import Pair
from vitro.tasks.pairs import MOST_ROWS, OfRows, Pairs
from vitro.tasks.questions import Questions
from vitro.tasks.task import told
from vitro.tasks.tokenizer import Tokenizer


@dataclass(frozen=True)
class Kind:
    """A generated task without its number of rows: what it asks, and how rows are made.

    `rows` takes the tokenizer, the number of rows, and the seed.
    """

    name: str
    n: int
    rows: Callable[[Tokenizer, int, int], tuple[Pair, ...]] = field(repr=False)
    right_called: str
    wrong_called: str
    asks: str
    example: str
    source: str


@dataclass(frozen=True)
class Generated(OfRows):
    """n rows of a kind, drawn by a seed.

    >>> vitro.tasks.Generated(vitro.tasks.KINDS["greater-than"], 20).typed
    'greater-than:20'

    Raises `TaskError` unless 1 <= n <= 10,000 and the seed is a whole number from 0.
    """

    kind: Kind
    n: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or isinstance(self.n, bool) or not 1 <= self.n <= MOST_ROWS:
            raise TaskError(
                f"task {self.kind.name!r}: n is {self.n!r}; it must be a whole number from 1 to {MOST_ROWS}"
            )
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise TaskError(f"task {self.kind.name!r}: seed is {self.seed!r}; it must be a whole number from 0")

    def __repr__(self) -> str:
        return told(self)

    @property
    def name(self) -> str:
        """The kind and the number of rows: two sizes are two tasks."""
        return f"{self.kind.name}-{self.n}"

    @property
    def typed(self) -> str:
        """What names it on the command line: `ioi:50`."""
        return f"{self.kind.name}:{self.n}"

    @property
    def right_called(self) -> str:
        """What the right answers are."""
        return self.kind.right_called

    @property
    def wrong_called(self) -> str:
        """What the wrong answers are."""
        return self.kind.wrong_called

    @property
    def named_with(self) -> TaskOptions:
        """Nothing: all of it is in the name."""
        return TaskOptions()

    def questions(self, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
        """The rows made for this tokenizer, in its tokens. Raises `TaskError` where too few words are one token."""
        return Pairs(self.name, self.kind.rows(tokenizer, self.n, self.seed)).questions(tokenizer, n_ctx)

    def facts(self) -> Mapping[str, str]:
        """What it asks, where it comes from, and how many rows are drawn."""
        return {
            "Asks": self.kind.asks,
            "Example": self.kind.example,
            "Source": self.kind.source,
            "Rows": f"{self.n:,}, drawn by seed {self.seed}",
        }

    def identity(self) -> Mapping[str, Any]:
        """Its kind, number of rows and seed."""
        return {"name": self.name, "kind": self.kind.name, "n": self.n, "seed": self.seed}


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                name="ioi",
                n=50,
                rows=second_subject_replaced,
                right_called="indirect object",
                wrong_called="subject",
                asks="who is given something: of two people, the one who does not act; the counterfactual has a third",
                example="When Mary and John came to the store, John gave a drink to -> Mary, not John",
                source="Wang et al. 2022, arXiv 2211.00593",
            ),
            Kind(
                name="ioi-abc",
                n=50,
                rows=all_names_new,
                right_called="indirect object",
                wrong_called="subject",
                asks="the same as ioi; the counterfactual has three other names",
                example="When Mary and John came to the store, John gave a drink to -> Mary, not John",
                source="Wang et al. 2022, arXiv 2211.00593",
            ),
            Kind(
                name="greater-than",
                n=50,
                rows=later_years,
                right_called="later years",
                wrong_called="earlier years",
                asks="the last two digits of a later year; in the counterfactual the first year ends in 01",
                example="The war lasted from the year 1732 to the year 17 -> 33 to 99, not 00 to 32",
                source="Hanna et al. 2023, arXiv 2305.00586",
            ),
            Kind(
                name="agreement",
                n=50,
                rows=verbs_of_its_number,
                right_called="verbs of its number",
                wrong_called="verbs of the other number",
                asks="a verb that agrees with the subject; in the counterfactual the subject has the other number",
                example="The keys near the king -> are, have, go, not is, has, goes",
                source="subject-verb agreement, as in Marvin & Linzen 2018, arXiv 1808.09031",
            ),
            Kind(
                name="capitals",
                n=20,
                rows=capital_of,
                right_called="capital",
                wrong_called="other capital",
                asks="the capital of a country; the counterfactual names another country",
                example="The name of the capital of France is -> Paris, not Rome",
                source="facts as in AutoCircuit's capital cities",
            ),
        )
    }
)
