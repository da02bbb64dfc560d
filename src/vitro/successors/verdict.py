"""Whether a head's M is a rotation of a cycle, or of a plane of it: the conditions, and the sentence that says so."""

from collections.abc import Sequence

from vitro.successors.modes import Mode
from vitro.successors.rotation import Turn

LARGEST_P, SMALLEST_STAY = 0.01, 0.5
"""Of a rotation, and of a turn of one plane."""
LARGEST_ANGLE_ERROR, LARGEST_SPREAD = 0.1, 2.0
"""Of a rotation: see `failures`."""
SMALLEST_TURNED, LARGEST_TURN_ERROR = 0.8, 0.25
"""Of a turn of one plane: see `turned_planes`."""


def failures(found: Turn) -> list[str]:
    """What keeps M from being a rotation by one step on the set; nothing where it is one.

    A rotation must follow the order (`input_p` at most 0.01), keep what it writes in the span (`stays` at least 0.5),
    and have its eigenvalues on a circle (`spread` at most 2) at the steps (`angle_error` at most 0.1).
    """
    failed = []
    if found.input_p > LARGEST_P:
        failed.append(f"inputs are not mapped to the next (cosine {found.input_cosine:.2f}, p {found.input_p:.2g})")
    if found.stays < SMALLEST_STAY:
        failed.append(f"only {found.stays:.0%} of what it writes stays in the span that it reads")
    if found.angle_error is None or found.angle_error > LARGEST_ANGLE_ERROR:
        error = "unknown" if found.angle_error is None else f"{found.angle_error:.2f}"
        failed.append(f"the eigenvalues are {error} steps off the angles of the {found.n}-th roots")
    if found.spread > LARGEST_SPREAD:
        failed.append(f"their moduli differ {found.spread:.3g}-fold")
    return failed


def turned_planes(modes: Sequence[Mode]) -> list[Mode]:
    """The modes whose plane, of the words as M reads them, M turns by one step.

    It must keep what it writes of the mode in the plane (`stays` at least 0.5), turn it with little shear (`turned` at
    least 0.8), by an angle within a quarter of 2 pi / n of 2 pi k / n, and by no luck: `p` times the number of modes,
    as each is asked about, at most 0.01.
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


def verdict(name: str, one: str, found: Turn, modes: Sequence[Mode], others: Sequence[Sequence[Mode]]) -> str:
    """Whether a head (`a9.h1`) turns a set as a rotation does, in sentences with the numbers that say so.

    modes: what it makes of the set's modes; others: what random heads make of them.
    """
    failed = failures(found)
    if not failed:
        return (
            f"{name} on {one}: a rotation (cosine {found.input_cosine:.2f} with the next input, p {found.input_p:.2g}; "
            f"{found.stays:.0%} stays in the span)."
        )
    says = (
        f" Yet what it writes follows the order (cosine {found.output_cosine:.2f} with the next word's unembedding, "
        f"{found.output_step:+.2f} beside the one before, p {found.output_p:.2g})."
        if found.output_p <= LARGEST_P
        else ""
    )
    planes = _of_planes(modes, others)
    return f"{name} on {one}: not a rotation of the whole span: {'; '.join(failed)}. {planes}.{says}"


def _of_planes(modes: Sequence[Mode], others: Sequence[Sequence[Mode]]) -> str:
    turned, read = turned_planes(modes), _of_input(modes)
    if turned:
        count = "one plane" if len(turned) == 1 else f"{len(turned)} planes"
        also = sum(bool(turned_planes(other)) for other in others)
        return (
            f"But it turns {count} by one step, {' and '.join(map(_told, turned))}, "
            f"as {also} of {len(others)} random heads do"
        )
    nearest = f": the nearest is {_told(min(read, key=lambda mode: mode.p))}" if read else ""
    return f"Nor does it turn one plane by one step{nearest}"


def _of_input(modes: Sequence[Mode]) -> list[Mode]:
    return [mode for mode in modes if mode.space == "input"]


def _told(mode: Mode) -> str:
    return (
        f"that of mode {mode.mode} ({mode.variance:.0%} of the words' variance) by {mode.advance:.2f} steps "
        f"({mode.stays:.0%} stays in the plane, {mode.turned:.0%} of that is a turn, p {mode.p:.2g})"
    )
