"""Whether a head's M rotates a cycle, or one plane of it: the conditions, and the sentence that says so."""

from collections.abc import Sequence

from vitro.successors.modes import Mode
from vitro.successors.rotation import Turn

LARGEST_P, SMALLEST_STAY = 0.01, 0.5
"""Conditions on a rotation, and on a turn of one plane."""
LARGEST_ANGLE_ERROR, LARGEST_SPREAD = 0.1, 2.0
"""Conditions on a rotation: see `failures`."""
SMALLEST_TURNED, LARGEST_TURN_ERROR = 0.8, 0.25
"""Conditions on a turn of one plane: see `turned_planes`."""


def failures(turn: Turn) -> list[str]:
    """The conditions that M fails to be a rotation by one step on the set; empty where it is one.

    A rotation must follow the order (`input_p` at most 0.01), keep what it writes in the span (`stays` at least 0.5),
    and have its eigenvalues on a circle (`spread` at most 2) at the steps (`angle_error` at most 0.1).
    """
    if turn.spread is None:
        return ["it reads all words alike"]
    failed = []
    if turn.input_p > LARGEST_P:
        failed.append(f"inputs are not mapped to the next (cosine {turn.input_cosine:.2f}, p {turn.input_p:.2g})")
    if turn.stays < SMALLEST_STAY:
        failed.append(f"only {turn.stays:.0%} of what it writes stays in the span that it reads")
    if turn.angle_error is None or turn.angle_error > LARGEST_ANGLE_ERROR:
        error = "unknown" if turn.angle_error is None else f"{turn.angle_error:.2f}"
        failed.append(f"the eigenvalues are {error} steps off the angles of the {turn.n}-th roots")
    if turn.spread > LARGEST_SPREAD:
        failed.append(f"their moduli differ {turn.spread:.3g}-fold")
    return failed


def turned_planes(modes: Sequence[Mode]) -> list[Mode]:
    """The modes whose plane M turns by one step, of the words as M reads them.

    What M writes for the mode must stay in the plane (`stays` at least 0.5) and be turned with little shear (`turned`
    at least 0.8), by an angle within a quarter of 2 pi / n of 2 pi k / n, and not by luck: `p` times the number of
    modes (all are tested) is at most 0.01.
    """
    read = _of_input(modes)
    return [
        mode
        for mode in read
        if mode.stays >= SMALLEST_STAY
        and mode.turned >= SMALLEST_TURNED
        and abs(mode.advance - 1) * mode.mode <= LARGEST_TURN_ERROR
        and mode.p * len(read) <= LARGEST_P
    ]


def verdict(name: str, set_name: str, turn: Turn, modes: Sequence[Mode], random_heads: Sequence[Sequence[Mode]]) -> str:
    """Whether a head (`a9.h1`) turns a set as a rotation does, in sentences with the numbers behind them.

    modes: the head's modes on the set. random_heads: those of random heads.
    """
    failed = failures(turn)
    if not failed:
        return (
            f"{name} on {set_name}: a rotation (cosine {turn.input_cosine:.2f} with the next input, "
            f"p {turn.input_p:.2g}; {turn.stays:.0%} stays in the span)."
        )
    says = (
        f" Yet what it writes follows the order (cosine {turn.output_cosine:.2f} with the next word's unembedding, "
        f"{turn.output_step:+.2f} beside the one before, p {turn.output_p:.2g})."
        if turn.output_p <= LARGEST_P
        else ""
    )
    planes = _of_planes(modes, random_heads)
    return f"{name} on {set_name}: not a rotation of the whole span: {'; '.join(failed)}. {planes}.{says}"


def _of_planes(modes: Sequence[Mode], random_heads: Sequence[Sequence[Mode]]) -> str:
    turned, read = turned_planes(modes), _of_input(modes)
    if turned:
        count = "one plane" if len(turned) == 1 else f"{len(turned)} planes"
        also = sum(bool(turned_planes(modes_of_head)) for modes_of_head in random_heads)
        others = f", as {also} of {len(random_heads)} random heads do" if random_heads else ""
        return f"But it turns {count} by one step, {' and '.join(map(_told, turned))}{others}"
    nearest = f": the nearest is {_told(min(read, key=lambda mode: mode.p))}" if read else ""
    return f"Nor does it turn one plane by one step{nearest}"


def _of_input(modes: Sequence[Mode]) -> list[Mode]:
    return [mode for mode in modes if mode.space == "input"]


def _told(mode: Mode) -> str:
    return (
        f"that of mode {mode.mode} ({mode.variance:.0%} of the words' variance) by {mode.advance:.2f} steps "
        f"({mode.stays:.0%} stays in the plane, {mode.turned:.0%} of that is a turn, p {mode.p:.2g})"
    )
