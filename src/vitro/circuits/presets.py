"""The post's nine setups (docs/method.md, C1 to C9), for the components that play their parts in any model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import Constant, head
from vitro.models import Model

Head = tuple[int, int]
"""(layer, head)"""


@dataclass(frozen=True)
class Cast:
    """The components that play the parts of the setups.

    >>> POST.successor, POST.helpers
    ((9, 1), ((8, 1), (8, 6), (8, 8)))
    """

    successor: Head
    """Says the next word: 9.1 in GPT-2 small."""
    copier: Head
    """Says the subject: 10.3."""
    helpers: tuple[Head, ...]
    """Earlier heads without which the stream that the two read loses the task: 8.1, 8.6, 8.8."""
    early_copier: Head
    """Copies the subject before them: 6.9."""
    first_mlp: int
    """Turns the embedding into what the heads read: 0."""
    last_mlp: int
    """Removes the subject from what the heads wrote: 9."""


POST = Cast((9, 1), (10, 3), ((8, 1), (8, 6), (8, 8)), (6, 9), 0, 9)
"""The post's own, in GPT-2 small."""


def setups(
    model: Model,
    cast: Cast,
    output_bias: Literal["excluded", "included"] = "excluded",
    read_after: int | None = None,
) -> Mapping[str, Circuit]:
    """The setups by their names in docs/method.md, C1 to C7 and C9; C8 is C7 asked about months.

    A head that plays both parts is a single node. If the first MLP is also the last, C7 is C6: no MLP can read itself.

    output_bias: whether what reads a head of a layer gets the bias of that layer's heads (b9) too, in C3 to C9. The
    post does not say.
    read_after: the layer whose stream C1 and C2 read; None: the layer of the later head, as in the post. Where
    the whole model's answer cannot be read there yet, the answers of C1 and C2 cannot either.

    >>> cast = Cast((1, 1), (0, 2), (), (0, 1), first_mlp=0, last_mlp=1)
    >>> print(setups(model, cast)["C6"])
    input -> m0
    input, m0 -> a0.h2[subject], a1.h1[subject]
    a0.h2, a1.h1 -> logits
    """
    below = min(cast.successor[0], cast.copier[0]) - 1
    until = max(cast.successor[0], cast.copier[0]) if read_after is None else read_after
    heads = tuple(dict.fromkeys((cast.successor, cast.copier)))
    first, last = f"m{cast.first_mlp}", f"m{cast.last_mlp}"
    both_heads, biases = _named(heads), _biases(heads) if output_bias == "included" else ""
    first_head, bias = _named(heads[:1]), _biases(heads[:1]) if output_bias == "included" else ""
    read_heads = f"{both_heads}{biases} -> logits"
    pinned = f"input -> {first}; input, {first} -> {_named(heads, '[subject]')}"
    decopied = f"{pinned}; {both_heads}{biases} -> {last}; {both_heads}{biases}, {last} -> logits"
    return {
        "C1": Circuit.within(model, (*cast.helpers, *heads), "mean", until=until),
        "C2": Circuit.within(model, (*cast.helpers, *heads, cast.early_copier), "random", until=until),
        "C3": Circuit.wire(f"{_stream(model, below, 'random')} -> {both_heads}; {read_heads}"),
        "C4": Circuit.wire(f"{_stream(model, below, 'zero')} -> {both_heads}; {read_heads}"),
        "C5": Circuit.wire(f"{_stream(model, below, 'zero')} -> {_named(heads, '[subject]')}; {read_heads}"),
        "C6": Circuit.wire(f"{pinned}; {read_heads}"),
        "C7": Circuit.wire(decopied if last != first else f"{pinned}; {read_heads}"),
        "C9": Circuit.wire(
            f"input -> {first}; input, {first} -> {_named(heads[:1], '[subject]')}; {first_head}{bias} -> logits"
        ),
    }


WORDS = {
    "C1": "heads kept under mean ablation",
    "C2": "heads kept under random ablation",
    "C3": "residual cut, layers below random",
    "C4": "residual cut, layers below zero",
    "C5": "C4, both heads pinned",
    "C6": "embedding, first MLP, two pinned heads",
    "C7": "two pinned heads, a first and a later MLP",
    "C9": "embedding, first MLP, one pinned head",
}
"""The setups in a few words."""


def _named(heads: tuple[Head, ...], pin: str = "") -> str:
    return ", ".join(f"{head(*pair)}{pin}" for pair in heads)


def _biases(heads: tuple[Head, ...]) -> str:
    return "".join(f", b{layer}" for layer in sorted({layer for layer, _ in heads}))


def _stream(model: Model, below: int, constant: Constant) -> str:
    """The stream after a layer with every head up to it at a constant, as lines before a reader; the input before 0."""
    if below < 0:
        return "input"
    heads = ", ".join(f"a{layer}.h0-{model.shape.n_heads - 1}" for layer in range(below + 1))
    return f"{constant}: {heads}; resid_post{below}"
