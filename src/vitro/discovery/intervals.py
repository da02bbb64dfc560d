"""How far a circuit's faithfulness may be off, given on how many prompts, and of how many wordings, it was measured."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Bootstrap samples: the ends of an interval then move by a few hundredths of its width from seed to seed."""
FEWEST_GROUPS = 5
"""The fewest groups that are resampled as groups: of fewer, the interval is too wide to say anything."""
STEPS = 20_000
"""Steps of the integral of Student's t: its quantiles are then exact to six digits."""
ROUNDING = 1e-9
"""Spreads below this share of the largest value are rounding."""


def faithfulness_interval(
    circuit: Float[np.ndarray, "*case prompt"],
    model: Float[np.ndarray, "*case prompt"],
    empty: Float[np.ndarray, "*case prompt"],
    group: Int[np.ndarray, " prompt"] | None = None,
) -> tuple[Float[np.ndarray, "*case"], Float[np.ndarray, "*case"]]:
    """The 95 % interval of f = (m(circuit) - m(empty)) / (m(all) - m(empty)), m the mean over prompts: low and high.

    group: which prompts belong together, such as those of one wording: they are drawn together, for what they share
    makes them less than so many independent prompts. None: each prompt is drawn by itself.

    With x = circuit - empty and y = model - empty, summed over each group, f is the ratio of means. For the true f

        T(f) = mean(x - f y) / (s(x - f y) / sqrt(n))        (Fieller 1954)

    is between two quantiles, s the standard deviation and n the number of groups. The interval has all f for which it
    is. Each quantile is halfway between that of T among bootstrap samples, f being the measured one (Hwang 1995,
    "Fieller's problems and resampling techniques"), which knows about skew, and Student's, which is right where few
    prompts show too little of long tails: by simulation each alone covers too few where the other is right. An end is
    infinite where the model may not differ from the empty circuit. Deterministic.

    >>> model = np.array([2.0, 3.0, 4.0, 3.5, 2.5])
    >>> low, high = faithfulness_interval(model * [0.8, 0.9, 0.7, 0.8, 0.8], model, np.zeros(5))
    >>> float(low.round(1)), float(high.round(1))
    (0.6, 0.9)
    """
    x, y = (_summed(values - empty, group) for values in (circuit, model))
    n = x.shape[-1]
    if n < 2:
        whole = np.full(x.shape[:-1], np.inf)
        return -whole, whole
    # The ratio stays the same, and T falls with f.
    sign = np.where(y.mean(-1, keepdims=True) < 0, -1.0, 1.0)
    x, y = sign * x, sign * y
    lowest, highest = _quantiles(x, y)
    return _solved(x, y, highest, -1), _solved(x, y, lowest, 1)


def _summed(
    values: Float[np.ndarray, "*case prompt"], group: Int[np.ndarray, " prompt"] | None
) -> Float[np.ndarray, "*case group"]:
    if group is None:
        return values
    _, number = np.unique(group, return_inverse=True)
    return values @ np.eye(number.max() + 1)[number]


def _quantiles(
    x: Float[np.ndarray, "*case group"], y: Float[np.ndarray, "*case group"]
) -> tuple[Float[np.ndarray, "*case"], Float[np.ndarray, "*case"]]:
    """Between which values T is, of the true f."""
    n = x.shape[-1]
    rest = x - (x.mean(-1) / y.mean(-1))[..., None] * y
    drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, size=RESAMPLES).T / n
    mean = rest @ drawn
    spread = np.sqrt(np.maximum(rest**2 @ drawn - mean**2, 0) / (n - 1))
    # A sample of one group alone has no spread: whatever its mean is, it is far out.
    spread[spread < ROUNDING * np.abs(rest).max(-1, keepdims=True)] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(mean / spread, nan=0.0, posinf=np.inf, neginf=-np.inf)
    tail = (1 - CONFIDENCE) / 2
    lowest, highest = np.quantile(t, [tail, 1 - tail], axis=-1, method="nearest")
    student = _student(n - 1)
    return (lowest - student) / 2, (highest + student) / 2


def _solved(
    x: Float[np.ndarray, "*case group"],
    y: Float[np.ndarray, "*case group"],
    quantile: Float[np.ndarray, "*case"],
    sign: int,
) -> Float[np.ndarray, "*case"]:
    """The f at which T(f) is the quantile: a root of T(f)^2 = quantile^2, quadratic in f; infinite where none is."""
    n = x.shape[-1]
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    of_x, of_y = x - mean_x[..., None], y - mean_y[..., None]
    xx, xy, yy = ((a * b).sum(-1) / (n - 1) / n for a, b in ((of_x, of_x), (of_x, of_y), (of_y, of_y)))
    with np.errstate(invalid="ignore"):
        a = mean_y**2 - quantile**2 * yy
        b = mean_x * mean_y - quantile**2 * xy
        c = mean_x**2 - quantile**2 * xx
        root = (b + sign * np.sqrt(np.maximum(b**2 - a * c, 0))) / a
        return np.where(a > 0, root, sign * np.inf)


@cache
def _student(freedom: int) -> float:
    """The quantile of Student's t that has half of 1 - CONFIDENCE above it.

    With t = sqrt(freedom) tan(angle), the density is proportional to cos(angle)^(freedom - 1).
    """
    angle = np.linspace(0, np.pi / 2, STEPS + 1)
    density = np.cos(angle) ** (freedom - 1)
    share = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(freedom) * np.tan(np.interp(CONFIDENCE * share[-1], share, angle)))
