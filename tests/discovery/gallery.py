"""A gallery of known answers: models of which it is known what a search must find.

The seed decides on the words and their order, the sentence, the noise, and where in the model each part is. One more
head does what a planted one does, for nobody: it must be dropped.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from discovery.sketch import N_LAYERS, Coordinates, Place, Sketch
from vitro.circuits import Circuit, Constant
from vitro.models import Model
from vitro.tasks import Pair, Pairs, Successors, Task

TAU = 0.85
N_WORDS = 6
WORDS = ("Monday", "Friday", "April", "June", "spring", "autumn", "north", "south", "red", "green", "iron", "silver")
SENTENCES = (
    "If today is {word} tomorrow brings",
    "After our {word} always comes",
    "So with {word} goes",
    "The {word} has",
)
ENDS = ("brings", "comes", "goes", "has")
CUES = ("former", "latter")
CUED = ("Take {cue} of {a} and {b} so", "Of {cue} and then {a} {b} say")
CUED_LAST = ("From {a} and {b} {cue}", "Of {a} {b} the {cue}")


@dataclass(frozen=True, eq=False)
class Planted:
    """A model, its task and metric, and what a search at `TAU` must give.

    circuits: for each ablation that the model allows, the circuits of which the search must give one; none where the
    model does not do the task.
    """

    model: Model
    task: Task
    metric: str
    circuits: Mapping[Constant, tuple[Circuit, ...]]


def successor_head(seed: int) -> Planted:
    """One head moves the subject to the end and writes its successor."""
    task, sketch = _successors(seed)
    head = sketch.place()
    _move_subject(sketch, head, _next(sketch), strength=3.0)
    return _planted(sketch, task, _moving(head, "logits"))


def copy_then_increment(seed: int) -> Planted:
    """A head moves the subject to the end; an MLP, or a head of a later layer, makes its successor of it."""
    task, sketch = _successors(seed)
    first = sketch.place(before=N_LAYERS - 1)
    _move_subject(sketch, first, sketch.told, strength=2.0)
    if seed % 2:
        layer = int(sketch.random.integers(first[0], N_LAYERS))
        # Below the threshold a neuron is off: what is told of all words at once, on average, is no word.
        sketch.mlp(layer, sketch.told, _next(sketch), threshold=2.0, strength=1.0)
        circuit = _moving(first, f"m{layer}")
        return _planted(sketch, task, {kind: f"{text}; m{layer} -> logits" for kind, text in circuit.items()})
    second = sketch.place(after=first[0])
    ends = sketch.tokens(ENDS)
    sketch.head(second, [(ends, ends)], sketch.told, _next(sketch), strength=2.0)
    name = _name(second)
    circuit = {kind: f"{text}; {name} -> logits" for kind, text in _moving(first, f"{name}<v>").items()}
    return _planted(sketch, task, circuit | {"zero": f"{circuit['zero']}; input -> {name}<q>, {name}<k>"})


def told_where_to_look(seed: int) -> Planted:
    """A head or an MLP tells which of two words is asked for, and nothing but a head's queries read it.

    That head copies the word that it attends to. The counterfactual asks for the other word of the same two.
    """
    by_mlp = bool(seed % 2)
    task, sketch = _pairs(seed, CUED_LAST if by_mlp else CUED)
    cues, told = sketch.tokens(CUES), sketch.told[: len(CUES)]
    if by_mlp:
        layer = int(sketch.random.integers(N_LAYERS - 1))
        sketch.mlp(layer, cues, told, threshold=2.0, strength=1.0)
        teller = read = f"m{layer}"
    else:
        layer, _ = place = sketch.place(before=N_LAYERS - 1)
        sketch.head(place, [(sketch.at("final"), sketch.at("cue"))], cues, told, strength=2.0)
        teller = _name(place)
        read = f"{teller}<v>"
    looker = sketch.place(after=layer)
    sketch.head(
        looker, [(told[:1], sketch.at("a")), (told[1:], sketch.at("b"))], sketch.words, sketch.output, strength=3.0
    )
    name = _name(looker)
    # Under the counterfactual the two words are the prompt's own, and need not be read from it.
    circuit = f"input -> {read}; {teller} -> {name}<q>; {name} -> logits"
    with_words = f"{circuit}; input -> {name}<v>"
    return _planted(sketch, task, {"counterfactual": circuit, "mean": with_words, "zero": with_words})


def redundant_heads(seed: int) -> Planted:
    """Two heads do the whole task, each by itself: the final norm leaves little of what the second adds.

    There is no counterfactual: the head that is left out would write another word as strongly.
    """
    task, sketch = _successors(seed)
    heads = sketch.place(), sketch.place()
    for head in heads:
        _move_subject(sketch, head, _next(sketch), strength=8.0)
    texts = [_moving(head, "logits") for head in heads]
    return _planted(sketch, task, *({kind: text[kind] for kind in ("mean", "zero")} for text in texts))


def negative_head(seed: int) -> Planted:
    """One head writes the successor, another writes against it: the model does better without that one."""
    task, sketch = _successors(seed)
    positive, negative = sketch.place(), sketch.place()
    _move_subject(sketch, positive, _next(sketch), strength=4.0)
    _move_subject(sketch, negative, _next(sketch), strength=-1.5)
    return _planted(sketch, task, _moving(positive, "logits"))


def no_task(seed: int) -> Planted:
    """All that writes to the outputs is noise."""
    task, sketch = _successors(seed)
    return _planted(sketch, task)


GALLERY: Mapping[str, Callable[[int], Planted]] = {
    make.__name__: cache(make)
    for make in (successor_head, copy_then_increment, told_where_to_look, redundant_heads, negative_head, no_task)
}


def _successors(seed: int) -> tuple[Successors, Sketch]:
    random = np.random.default_rng(seed)
    words = tuple(random.permutation(WORDS)[:N_WORDS].tolist())
    template, *paraphrases = random.permutation(SENTENCES).tolist()
    task = Successors("planted", template, words, cyclic=True, paraphrases=tuple(paraphrases), seed=seed)
    # Words beside the task's own, so that few of the sentences over which a mean is taken are of the task.
    texts = [sentence.format(word=word) for sentence in SENTENCES for word in WORDS]
    return task, Sketch(seed, task, words, texts)


def _pairs(seed: int, sentences: tuple[str, ...]) -> tuple[Pairs, Sketch]:
    """Eight pairs of words, and of each the first and the second asked for."""
    random = np.random.default_rng(seed)
    words = random.permutation(WORDS)[:N_WORDS].tolist()
    sentence = str(random.choice(sentences))
    rows = []
    for number in random.permutation(N_WORDS * (N_WORDS - 1))[:8].tolist():
        first, second = divmod(number, N_WORDS - 1)
        a, b = words[first], words[second + (second >= first)]
        for cue, other, right, wrong in ((*CUES, a, b), (*reversed(CUES), b, a)):
            clean = sentence.format(cue=cue, a=a, b=b)
            named = {"cue": cue, "a": a, "b": b}
            marks = {name: (clean.index(word), clean.index(word) + len(word)) for name, word in named.items()}
            corrupt = sentence.format(cue=other, a=a, b=b)
            rows.append(Pair(clean, (f" {right}",), (f" {wrong}",), corrupt, group=cue, marks=marks))
    task = Pairs("planted", tuple(rows))
    return task, Sketch(seed, task, words, [sentence.format(cue=" ".join(CUES), a=words[0], b=words[0])])


def _next(sketch: Sketch) -> Coordinates:
    """Where each word's successor is an output."""
    return [*sketch.output[1:], sketch.output[0]]


def _move_subject(sketch: Sketch, head: Place, writes: Coordinates, strength: float) -> None:
    sketch.head(head, [(sketch.tokens(ENDS), sketch.words)], sketch.words, writes, strength)


def _moving(head: Place, reader: str) -> dict[Constant, str]:
    """The circuit of a head that moves the subject to the end, where a part reads it.

    It finds end and subject by their words. In other prompts there are such words in the same places, so that queries
    and keys need not be this prompt's own; only at zero is there nothing to be found.
    """
    name = _name(head)
    return {
        "mean": f"input -> {name}<v>; {name} -> {reader}",
        "counterfactual": f"input -> {name}<v>; {name} -> {reader}",
        "zero": f"input -> {name}; {name} -> {reader}",
    }


def _name(place: Place) -> str:
    return "a{}.h{}".format(*place)


def _planted(sketch: Sketch, task: Task, *circuits: Mapping[Constant, str]) -> Planted:
    _move_subject(sketch, sketch.place(), sketch.idle, strength=1.0)
    kinds: Iterable[Constant] = circuits[0] if circuits else ("mean", "counterfactual", "zero")
    wired = {kind: tuple(Circuit.wire(f"absent: {kind}; {text[kind]}") for text in circuits) for kind in kinds}
    return Planted(sketch.model(), task, "margin" if isinstance(task, Successors) else "logit_diff", wired)
