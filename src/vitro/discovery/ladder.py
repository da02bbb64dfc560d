"""The ladder to glass: a circuit within the model is cut free of it step by step, as far as it still answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

import polars as pl

from vitro.circuits import INPUT, Circuit, CircuitError, Constant, Constants, Node
from vitro.circuits.nodes import stream
from vitro.discovery.asked_circuits import Answered, AskedCircuits
from vitro.discovery.case import Case
from vitro.discovery.cuts import FIRST_MLP, Among, by_itself, others_at, pin, upper
from vitro.discovery.search import OutOfTimeError
from vitro.discovery.smallest import mended, size, smallest
from vitro.tables import Tables

MILDEST_FIRST: tuple[Constant, ...] = ("counterfactual", "mean", "resample", "random", "zero")
"""Ablations, from the one that leaves most of the model's own activations to the one that leaves nothing."""
AMONG: tuple[Among, ...] = get_args(Among)
STARTS = 3
"""Circuits out of the model from which the smallest wiring is searched, at most."""
LARGER = 1.5
"""How many times as many components as the smallest of them the others may have."""


@dataclass(frozen=True, eq=False)
class Rung:
    """A circuit on the way out of the model, and what it answers.

    name: what was done, in a few words. kept: whether it answers as many prompts as it has to.
    """

    name: str
    circuit: Circuit
    answered: Answered
    kept: bool


@dataclass(frozen=True, eq=False)
class Ladder:
    """The rungs, the circuit as it was found first.

    model: what the model itself answers. need: the prompts that a rung must answer right to be kept. finished: whether
    all was tried; False where it was stopped. Then a smallest wiring is not proved to be one: parts of it could go.
    """

    rungs: tuple[Rung, ...]
    model: Answered
    need: int
    finished: bool

    def tables(self, n_heads: int, prompts: Sequence[int]) -> Tables:
        """Tables `ladder`, a row for each rung, and `ladder_answers`, for each rung and prompt.

        n_heads: of a layer of the model. prompts: the numbers of the case's prompts.

        >>> circuit = Circuit.of(case.graph, case.graph.among(case.graph.nodes), "resample")
        >>> tables = ladder(case, circuit, {}).tables(n_heads=4, prompts=range(7))
        >>> tables["ladder"]["name"][-1], tables["ladder_answers"].columns
        ('smallest wiring', ['rung', 'prompt', 'value', 'rank'])
        """
        rungs = [
            {
                "rung": number,
                "name": rung.name,
                "circuit": str(rung.circuit),
                "nodes": len(rung.circuit.components(n_heads)),
                "edges": len(rung.circuit.edges),
                "right": rung.answered.right,
                "model_right": self.model.right,
                "kept": rung.kept,
            }
            for number, rung in enumerate(self.rungs)
        ]
        answers = [
            {"rung": number, "prompt": prompt, "value": value, "rank": rank}
            for number, rung in enumerate(self.rungs)
            for prompt, value, rank in zip(
                prompts, rung.answered.values.tolist(), rung.answered.ranks.tolist(), strict=True
            )
        ]
        return {
            "ladder": pl.DataFrame(rungs),
            "ladder_answers": pl.DataFrame(answers, schema_overrides={"value": pl.Float32}),
        }


def ladder(
    case: Case,
    circuit: Circuit,
    others: Mapping[Constant, Constants],
    *,
    value_bias: Literal["excluded", "included"] = "excluded",
    stop: Callable[[], bool] = lambda: False,
) -> Ladder:
    """Cut a circuit within the model free of it, rung by rung, as the post did by hand (docs/method.md, section 12.5).

    case: its constants are what the circuit's absent edges carry. others: what else they may carry, by kind.
    value_bias: as for `run_circuits`. stop: asked between lists of circuits, also during the last rung; True ends the
    ladder with the rungs so far.

    A rung is kept where it answers as many prompts right as the circuit does or the model, whichever is fewer; one that
    no kept rung stands on is shown all the same, as the best of what was tried. Where that number is 0 there is nothing
    to keep, and the circuit is the only rung. The rungs are:

    1. absent edges carry each of the other ablations, from the mildest to the harshest;
    2. the residual cut: the circuit's components after a layer read the stream there, and only they write to the
       logits. Every layer is tried, with and without the edges among them; the lowest that answers is taken;
    3. their heads that are read at the final stream are pinned, each to the mark that it attends to most in the model;
    4. below, all but the circuit's own components are ablated, the harshest that answers;
    5. the embedding and the first MLP take the stream's place;
    6. the circuit's own edges, and absent ones carry nothing;
    7. where neither of these answers, the best of them without the components and pins that harm them;
    8. the smallest wiring among the parts of 5 to 7, or, where none answers, of the last rung kept on a stream.

    CircuitError for a circuit in vitro, or one that the model cannot run.

    >>> nodes = [INPUT, vitro.circuits.node("a0.h2"), vitro.circuits.node("a1.h1")]
    >>> circuit = Circuit.of(case.graph, case.graph.among(nodes), "resample")
    >>> print(ladder(case, circuit, {}).rungs[-1].circuit)
    input -> a1.h1
    a1.h1 -> logits
    """
    if circuit.absent is None:
        raise CircuitError("the ladder begins within the model: the circuit's text must begin with absent: and a kind")
    circuit.check(case.model)
    trial = AskedCircuits(case, {**others, circuit.absent: case.constants}, value_bias)
    model, looks_at = trial.clean(circuit.heads)
    (answered,) = trial.run([circuit])
    # From here on: the circuit itself is always measured.
    trial.stop = stop
    climb = _Climb(trial, circuit, looks_at, need=min(answered.right, model.right))
    rungs = [Rung(f"as found, absent edges carry {circuit.absent}", circuit, answered, climb.need > 0)]
    try:
        for rung in climb.rungs() if climb.need else ():
            rungs.append(rung)
    except OutOfTimeError:
        pass
    return Ladder(tuple(rungs), model, climb.need, finished=not trial.stopped)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A circuit that a rung may be. place: of several that answer, the lowest is taken."""

    name: str
    circuit: Circuit
    place: tuple[int, ...]


@dataclass(eq=False)
class _Climb:
    """The way down from one circuit."""

    trial: AskedCircuits
    circuit: Circuit
    looks_at: Mapping[Node, str]
    need: int

    def rungs(self) -> Iterator[Rung]:
        """Every rung under the circuit as it was found, when it is measured."""
        yield from self._within()
        on_stream: list[Rung] = []
        for cut in (self._cut, self._pinned, self._ablated_below):
            if (rung := self._rung(list(cut(on_stream[-1] if on_stream else None)))) is not None:
                yield rung
                on_stream += [rung] if rung.kept else []
        alone: list[Circuit] = []
        for wiring in (self._replaced, self._carrying_nothing, self._mended):
            candidates = list(wiring(alone))
            if (rung := self._rung(candidates)) is not None:
                yield rung
                alone += [candidate.circuit for candidate in candidates]
        if starts := self._that_answer(alone) or [rung.circuit for rung in on_stream[-1:]]:
            yield self._smallest(sorted(starts, key=self._size)[:STARTS])

    def _that_answer(self, circuits: Iterable[Circuit]) -> list[Circuit]:
        distinct = list(dict.fromkeys(circuits))
        answered = zip(distinct, self.trial.run(distinct), strict=True)
        return [circuit for circuit, answers in answered if answers.right >= self.need]

    def _rung(self, candidates: Sequence[_Candidate]) -> Rung | None:
        """The candidate in the lowest place of those that answer; where none does, the one that answers best."""
        if not candidates:
            return None
        pairs = list(zip(candidates, self.trial.run([candidate.circuit for candidate in candidates]), strict=True))
        kept = [pair for pair in pairs if pair[1].right >= self.need]
        if kept:
            candidate, answered = min(kept, key=lambda pair: pair[0].place)
        else:
            candidate, answered = max(pairs, key=lambda pair: pair[1].order)
        return Rung(candidate.name, candidate.circuit, answered, bool(kept))

    def _within(self) -> list[Rung]:
        kinds = [kind for kind in MILDEST_FIRST if kind in self.trial.constants and kind != self.circuit.absent]
        circuits = [Circuit(self.circuit.edges, absent=kind) for kind in kinds]
        return [
            Rung(f"absent edges carry {kind}", circuit, answered, answered.right >= self.need)
            for kind, circuit, answered in zip(kinds, circuits, self.trial.run(circuits), strict=True)
        ]

    def _cuts(self, layers: Iterable[int]) -> Iterator[tuple[int, Circuit]]:
        """The residual cuts after each of some layers."""
        for after, among in product(layers, AMONG):
            if (circuit := upper(self.circuit, after, among, [stream(after)])) is not None:
                yield after, circuit

    def _cut(self, above: Rung | None) -> Iterator[_Candidate]:
        for after, circuit in self._cuts(range(self.trial.case.model.shape.n_layers - 1)):
            yield _Candidate(f"residual cut after layer {after}", circuit, (after, len(circuit.edges)))

    def _pinned(self, above: Rung | None) -> Iterator[_Candidate]:
        """All heads pinned, at every cut as low as the one that answered; at that one, some of them too."""
        lowest = self.trial.case.model.shape.n_layers - 2 if above is None else above.circuit.until
        pinned = [pin(circuit, self.looks_at) for _, circuit in self._cuts(range(lowest + 1))]
        if above is not None:
            pinned += self._some_pinned(above.circuit)
        for circuit in pinned:
            if pins := len(circuit.pins):
                name = f"{pins} head{'s' * (pins > 1)} pinned, cut after layer {circuit.until}"
                yield _Candidate(name, circuit, (circuit.until, -pins, len(circuit.edges)))

    def _some_pinned(self, circuit: Circuit) -> list[Circuit]:
        """With each head pinned alone, and with the most harmless of these pins together: two, three, ... of them."""
        pins = sorted(pin(circuit, self.looks_at).pins)
        single = [replace(circuit, pins=frozenset([pinned])) for pinned in pins]
        answered = dict(zip(single, self.trial.run(single), strict=True))
        single.sort(key=lambda circuit: answered[circuit].order, reverse=True)
        by_harm = [next(iter(circuit.pins)) for circuit in single]
        return single + [replace(circuit, pins=frozenset(by_harm[:n])) for n in range(2, len(single))]

    def _ablated_below(self, above: Rung | None) -> Iterator[_Candidate]:
        if above is None:
            return
        for number, kind in enumerate(kind for kind in MILDEST_FIRST if kind in self.trial.constants):
            circuit = others_at(self.trial.case.model, above.circuit, self.circuit.order, kind)
            yield _Candidate(f"below the cut, all but the circuit at {kind}", circuit, (-number,))

    def _replaced(self, alone: Sequence[Circuit]) -> Iterator[_Candidate]:
        for after, among in product(range(self.trial.case.model.shape.n_layers - 1), AMONG):
            if (circuit := upper(self.circuit, after, among, [INPUT, FIRST_MLP])) is not None:
                yield from self._pinned_or_not("embedding and first MLP below", circuit)

    def _carrying_nothing(self, alone: Sequence[Circuit]) -> Iterator[_Candidate]:
        if (circuit := by_itself(self.trial.case.model, self.circuit)) is not None:
            yield from self._pinned_or_not("absent edges carry nothing", circuit)

    def _pinned_or_not(self, name: str, circuit: Circuit) -> Iterator[_Candidate]:
        for choice in dict.fromkeys([circuit, pin(circuit, self.looks_at)]):
            yield _Candidate(name, choice, self._size(choice))

    def _mended(self, alone: Sequence[Circuit]) -> Iterator[_Candidate]:
        """The best of the circuits out of the model, without what harms them; none where some answer as they are."""
        if self._that_answer(alone):
            return
        distinct = list(dict.fromkeys(alone))
        answered = dict(zip(distinct, self.trial.run(distinct), strict=True))
        best = sorted(distinct, key=lambda circuit: answered[circuit].order, reverse=True)[:STARTS]
        for circuit in self.trial.together([mended(start, self.need, self._n_heads) for start in best]):
            yield _Candidate("out of the model, what harms left out", circuit, self._size(circuit))

    def _smallest(self, starts: Sequence[Circuit]) -> Rung:
        """From starts that are not much larger than the first, which is the smallest of them."""
        most = LARGER * self._size(starts[0])[0]
        near = [start for start in starts if self._size(start)[0] <= most]
        wirings = self.trial.together([smallest(start, self.need, self._n_heads) for start in near])
        circuit = min(wirings, key=self._size)
        name = "smallest wiring so far" if self.trial.stopped else "smallest wiring"
        return Rung(name, circuit, self.trial.known[circuit], kept=True)

    @property
    def _n_heads(self) -> int:
        return self.trial.case.model.shape.n_heads

    def _size(self, circuit: Circuit) -> tuple[int, int, int]:
        return size(circuit, self._n_heads)
