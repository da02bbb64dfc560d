"""Circuits asked the questions of a case: the metric, and the rank of the right answer, prompt by prompt."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits import Circuit, Constant, Constants, Node, run_circuits
from vitro.discovery.case import Case
from vitro.discovery.search import OutOfTimeError
from vitro.engine import Finals, pattern, sweep

LIST = 100
"""Circuits that are run together: between lists a trial can be stopped."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What a circuit answers.

    values: the metric. ranks: how many wrong answers of the closed list the right one does not lead, or, where there is
    no list, how many of the wrong tokens; 0 is right.
    """

    values: Float[np.ndarray, " prompt"]
    ranks: Int[np.ndarray, " prompt"]

    @property
    def right(self) -> int:
        """The number of prompts answered right."""
        return int((self.ranks == 0).sum())

    @property
    def order(self) -> tuple[int, float]:
        """More prompts right are better, then a larger mean of the metric; NaN is worse than anything."""
        mean = float(self.values.mean())
        return self.right, -np.inf if np.isnan(mean) else mean


Search = Generator[Sequence[Circuit], Sequence[Answered], Circuit]
"""Yields circuits, is sent what they answer, and returns the circuit that it comes to."""


@dataclass(eq=False)
class AskedCircuits:
    """Runs circuits on the prompts of a case; none is run twice.

    constants: what components at a constant put out and absent edges carry, by kind. stop: asked before every list;
    True ends the trial (`OutOfTimeError`).
    """

    case: Case
    constants: Mapping[Constant, Constants]
    value_bias: Literal["excluded", "included"]
    stop: Callable[[], bool] = lambda: False
    known: dict[Circuit, Answered] = field(default_factory=dict)
    stopped: bool = False

    def run(self, circuits: Sequence[Circuit]) -> list[Answered]:
        """What each of them answers; those that are new are run in lists, in which what they share is run once."""
        new = [circuit for circuit in dict.fromkeys(circuits) if circuit not in self.known]
        for first in range(0, len(new), LIST):
            if self.stop():
                self.stopped = True
                raise OutOfTimeError
            together = new[first : first + LIST]
            read = run_circuits(
                self.case.model,
                self.case.questions.tokens,
                together,
                self._read,
                marks=self.case.questions.marks,
                constants=self.constants,
                value_bias=self.value_bias,
                memory=self.case.memory,
            )
            answers = zip(read["value"].double().numpy(), read["rank"].numpy(), strict=True)
            self.known.update(zip(together, (Answered(*answer) for answer in answers), strict=True))
        return [self.known[circuit] for circuit in circuits]

    def together(self, searches: Sequence[Search]) -> list[Circuit]:
        """What searches come to that go on side by side: what they ask about is run in one list.

        OutOfTimeError, each is thrown so, and may return what it has by then.
        """
        asked = {search: next(search) for search in searches}
        results: dict[Search, Circuit] = {}
        while asked:
            try:
                self.run([circuit for circuits in asked.values() for circuit in circuits])
            except OutOfTimeError as stopped:
                for search in asked:
                    try:
                        search.throw(stopped)
                    except StopIteration as end:
                        results[search] = end.value
                break
            for search, circuits in list(asked.items()):
                try:
                    asked[search] = search.send([self.known[circuit] for circuit in circuits])
                except StopIteration as end:
                    results[search] = end.value
                    del asked[search]
        return [results[search] for search in searches]

    def clean(self, heads: Sequence[Node]) -> tuple[Answered, dict[Node, str]]:
        """What the model itself answers, and the mark that each head attends to most from the final streams.

        Of marks at the same place the first counts; the mean over prompts decides.
        """
        questions = self.case.questions
        sites = {head: pattern(head.layer, head.head) for head in heads}

        def read(finals: Finals) -> dict[str, Tensor]:
            return self._read(finals) | {str(head): finals.attention[site] for head, site in sites.items()}

        values = sweep(
            self.case.model, questions.tokens, [()], read, watch=list(sites.values()), memory=self.case.memory
        )
        prompts, marked = np.arange(len(questions)), questions.marked
        most = {}
        for head in heads:
            weights = values[str(head)][0].float().numpy()
            most[head] = max(marked, key=lambda at: float(weights[prompts, np.array(at)].mean()))
        answered = Answered(values["value"][0].double().numpy(), values["rank"][0].numpy())
        return answered, {head: marked[at] for head, at in most.items()}

    def _read(self, finals: Finals) -> dict[str, Tensor]:
        answers = self.case.asked[finals.prompts].of_logits(finals)
        return {"value": self.case.metric.of(answers), "rank": answers.rank_asked()}
