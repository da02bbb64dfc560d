"""Whether a circuit was found: the conditions, each with what was measured, what is wanted, and a sentence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vitro.discovery.chance import Chance
from vitro.tables.labels import counted
from vitro.tables.statistics import RARE, luck

HALF = 0.5
"""The share of tau that held-out prompts must be surely above, and the model without the circuit below: what carries
less than half of what was asked for does not carry the task."""
OVERLAP = 0.5
"""The least mean overlap (Jaccard) of circuits searched on resampled prompts. Two circuits of equal size then share two
thirds of their nodes; by chance two of 25 in 300 have an overlap of 0.04."""
LARGER = 1.25
"""How many times as many nodes another circuit may have and be as good: searches by themselves end a few apart."""
SHARED = 0.5
"""The largest share of a circuit's nodes in another one that is another, and no variation of it."""


_CALLED = {
    "minimal": "Minimality",
    "held_out": "Faithfulness on held-out prompts",
    "complement": "The model without the circuit",
    "random": "The chance of guessing it",
    "second": "The circuit that is found without its nodes",
    "stability": "Stability",
}
"""What is measured for a condition, at the beginning of a sentence."""


_NOT_MEASURED, _WERE_NOT = " was not measured: ", " were not measured: "


def wanted(condition: str, tau: float) -> str:
    """What a condition asks for, in words. tau: the least faithfulness of a circuit.

    >>> wanted("held_out", 0.8)
    'an interval that reaches 0.8 and is above 0.4'
    """
    return {
        "task": f"p <= {RARE}, and a metric above the empty circuit's",
        "minimal": "every single removal tried, and none possible",
        "faithful": f"at least {tau}",
        "held_out": f"an interval that reaches {tau} and is above {HALF * tau:.2g}",
        "random": f"p <= {RARE}",
        "complement": f"less than {HALF * tau:.2g}",
        "stability": f"at least {OVERLAP} on average",
        "second": f"no other of at most {LARGER} times as many nodes with at most {SHARED:.0%} of its nodes",
    }[condition]


@dataclass(frozen=True)
class Condition:
    """What was measured, what it must be, and whether it is. Its fields are the columns of table `verdict`.

    value: None where it could not be measured. low, high: the 95 % interval; None where it has no end. wanted: empty
    where the value is only reported, and then `holds` is None. reading: a sentence.
    """

    condition: str
    value: float | None
    low: float | None
    high: float | None
    wanted: str
    holds: bool | None
    reading: str


@dataclass(frozen=True)
class Verdict:
    """The conditions of finding, in order. A circuit was found only where all hold; one not measured does not.

    >>> minimal = Condition("minimal", None, None, None, "no node can go", False, "Not every removal was tried.")
    >>> Verdict((minimal,)).why
    'Not every removal was tried.'
    """

    conditions: tuple[Condition, ...]

    @property
    def found(self) -> bool:
        """Whether all hold that must."""
        return not self._failing

    @property
    def why(self) -> str:
        """One sentence of what does not hold; empty where all does."""
        readings = [condition.reading[0].lower() + condition.reading[1:].rstrip(".") for condition in self._failing]
        # What was not measured for the same reason is named together.
        clauses: dict[str, list[str]] = {}
        for reading in readings:
            subject, not_measured, reason = reading.partition(_NOT_MEASURED)
            clauses.setdefault(reason if not_measured else reading, []).append(subject)
        said = "; ".join(
            clause
            if subjects == [clause]
            else f"{_listed(subjects)}{_NOT_MEASURED if len(subjects) == 1 else _WERE_NOT}{clause}"
            for clause, subjects in clauses.items()
        )
        return f"{said[0].upper()}{said[1:]}." if said else ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of table `verdict`."""
        return [asdict(condition) for condition in self.conditions]

    @property
    def _failing(self) -> list[Condition]:
        return [condition for condition in self.conditions if condition.holds is False]


def not_measured(condition: str, tau: float, reason: str) -> Condition:
    """A condition that does not hold, for it was not measured.

    >>> not_measured("stability", 0.8, "the time was up").reading
    'Stability was not measured: the time was up.'
    """
    reading = f"{_CALLED[condition]}{_NOT_MEASURED}{reason}."
    return Condition(condition, None, None, None, wanted(condition, tau), False, reading)


def does_task(right: int, prompts: int, by_chance: float, model: float, empty: float, tau: float) -> Condition:
    """The model itself does the task: nobody finds a circuit of what is not there.

    By chance it answers so many right (exact binomial test) with a probability of at most 0.05, and its metric is
    above the empty circuit's. by_chance: how often guessing answers a prompt right, such as 1 over the answers of the
    closed list. model, empty: the mean metric, of which more is better.

    >>> does_task(right=3, prompts=7, by_chance=1 / 7, model=1.0, empty=0.2, tau=0.8).reading
    'The model answers 3 of 7 prompts right, as guessing does with p = 0.065.'
    """
    p = luck(right, prompts, by_chance)
    answers = f"The model answers {right} of {counted(prompts)} right"
    if p > RARE:
        reading = f"{answers}, as guessing does with p = {p:.2g}."
    elif model <= empty:
        reading = f"{answers}, but its metric ({model:.3g}) is not above that of the empty circuit ({empty:.3g})."
    else:
        reading = f"{answers}; guessing does so with p = {p:.2g}."
    return Condition("task", p, None, None, wanted("task", tau), p <= RARE and model > empty, reading)


def is_minimal(proved: bool, tau: float) -> Condition:
    """No single node or edge can go: a fact that the search has tried, or has not.

    >>> is_minimal(True, 0.8).holds
    True
    """
    reading = (
        "Each of its components was left out alone, and it needs them all."
        if proved
        else "It is not proved that it needs all of its components: the search ended before each was left out alone."
    )
    return Condition("minimal", None, None, None, wanted("minimal", tau), proved, reading)


def is_faithful(f: float, tau: float) -> Condition:
    """Its faithfulness on the prompts that were searched is at least tau.

    >>> is_faithful(0.83, 0.8).reading
    'On the prompts that were searched its faithfulness is 0.83.'
    """
    reading = (
        f"On the prompts that were searched its faithfulness is {f:.2f}{'' if f >= tau else f', less than {tau}'}."
    )
    return Condition("faithful", f, None, None, wanted("faithful", tau), f >= tau, reading)


def holds_out(f: float, low: float, high: float, tau: float, measured_on: str) -> Condition:
    """On prompts that the search has not seen, the interval of its faithfulness reaches tau and is above half of tau.

    The first: the prompts do not refute it. The second: they do say something. measured_on: which prompts these are.

    >>> holds_out(0.7, 0.5, 0.85, 0.8, "56 prompts in 8 other sentences").reading
    'On 56 prompts in 8 other sentences its faithfulness is 0.70 [0.50, 0.85].'
    """
    reading = f"On {measured_on} its faithfulness is {f:.2f} [{low:.2f}, {high:.2f}]"
    if high < tau:
        reading += f", which does not reach {tau}"
    elif low <= HALF * tau:
        reading += f", which may be {HALF * tau:.2g} or less"
    holds = high >= tau and low > HALF * tau
    return Condition("held_out", f, _end(low), _end(high), wanted("held_out", tau), holds, f"{reading}.")


def beats_random(chance: Chance, searched: int, tau: float) -> Condition:
    """A search as long that only guesses comes to a circuit as faithful with a probability of at most 0.05.

    Where there are fewer circuits of the make than 20 for each that was searched, even the only one that is as faithful
    could be come upon by guessing: then it is only reported how many are.

    >>> beats_random(Chance(1e-5, 0.03, False, 2000, make=10**9), searched=3000, tau=0.8).reading
    'A random circuit of as many heads and MLPs is as faithful with p = 1e-05, the best of 3000 random ones
    with p = 0.03.'
    """
    make = "as many heads and MLPs"
    if chance.make * RARE < searched:
        as_good = max(1, round(chance.single * chance.make))
        reading = (
            f"Of the {chance.make} circuits of {make}, {as_good} {'is' if as_good == 1 else 'are'} as faithful; they "
            f"are too few to tell a search of {searched} circuits from guessing."
        )
        return Condition("random", None, None, None, "", None, reading)
    sign = "<=" if chance.at_most else "="
    reading = (
        f"A random circuit of {make} is as faithful with p {sign} {chance.single:.2g}, the best of {searched} random "
        f"ones with p {sign} {chance.best:.2g}."
    )
    return Condition("random", chance.best, None, None, wanted("random", tau), chance.best <= RARE, reading)


def fails_without(f: float, tau: float) -> Condition:
    """The model without the circuit's nodes has less than half of tau left: the task is done here and not elsewhere.

    >>> fails_without(0.6, 0.8).reading
    'Without its nodes the model still has a faithfulness of 0.60.'
    """
    holds = f < HALF * tau
    reading = f"Without its nodes the model {'' if holds else 'still '}has a faithfulness of {f:.2f}."
    return Condition("complement", f, None, None, wanted("complement", tau), holds, reading)


def is_stable(overlaps: Sequence[float], left_out: Sequence[float], tau: float) -> Condition:
    """Searches on resampled prompts come to circuits that overlap with this one.

    overlaps: |both| / |either| of their nodes, of each search; at least one. left_out: their faithfulness on the
    prompts that were not drawn, which is only told.

    >>> is_stable([0.7, 0.5, 0.6], [0.9, 0.7, 0.6], 0.8).reading
    'Circuits searched on resampled prompts overlap with it by 0.60 on average (0.50 to 0.70 in 3 searches); on the
    prompts left out their median faithfulness is 0.70.'
    """
    mean, searches = float(np.mean(overlaps)), "search" if len(overlaps) == 1 else "searches"
    reading = (
        f"Circuits searched on resampled prompts overlap with it by {'' if mean >= OVERLAP else 'only '}{mean:.2f} on "
        f"average ({min(overlaps):.2f} to {max(overlaps):.2f} in {len(overlaps)} {searches})"
    )
    if left_out:
        reading += f"; on the prompts left out their median faithfulness is {np.median(left_out):.2f}"
    return Condition("stability", mean, None, None, wanted("stability", tau), mean >= OVERLAP, f"{reading}.")


def is_alone(nodes: int, tau: float, other: int, shared: int, f: float) -> Condition:
    """There is no second circuit as good: at least tau faithful, not much larger, and with few of the same nodes.

    other: nodes of the circuit that a search came to which avoided the first one's. shared: those that it has of them.
    f: its faithfulness. The value is the share of the first one's nodes in it.

    >>> is_alone(nodes=12, tau=0.8, other=13, shared=2, f=0.81).reading
    'A search that avoided its nodes came to another circuit as good: 13 nodes, 2 of them its own, faithfulness 0.81.'
    """
    share = shared / nodes if nodes else 1.0
    as_good = f >= tau and other <= LARGER * nodes
    holds = not (as_good and share <= SHARED)
    if not as_good:
        reading = "A search that avoided its nodes came to no circuit as good"
    elif holds:
        reading = "A search that avoided its nodes came to a variation of it"
    else:
        reading = "A search that avoided its nodes came to another circuit as good"
    nodes_said = "1 node" if other == 1 else f"{other} nodes"
    reading += f": {nodes_said}, {shared} of them its own, faithfulness {f:.2f}."
    return Condition("second", share, None, None, wanted("second", tau), holds, reading)


def transfer(task: str, f: float | None, right: int, model_right: int, prompts: int) -> Condition:
    """What the circuit does on another task; only reported, for it need not do others.

    f: None where the model is no better there than the wholly ablated run.

    >>> transfer("months", 0.9, right=10, model_right=11, prompts=12).reading
    'On months its faithfulness is 0.90, and it answers 10 of 12 prompts right; the model 11.'
    """
    worth = "there is nothing to be faithful to" if f is None else f"its faithfulness is {f:.2f}"
    reading = f"On {task} {worth}, and it answers {right} of {counted(prompts)} right; the model {model_right}."
    return Condition(f"transfer to {task}", f, None, None, "", None, reading)


def _listed(subjects: Sequence[str]) -> str:
    *first, last = subjects
    return f"{', '.join(first)} and {last}" if first else last


def _end(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
