"""Random rotary angles, of every kind."""

from collections.abc import Sequence
from typing import Any

from fuzz.draw import Draw

ROPES = ("default", "linear", "yarn", "llama3", "dynamic", "longrope")


def draw_rope(draw: Draw, longest: int, rotary: int, kinds: Sequence[str] = ROPES) -> dict[str, Any]:
    """Parameters of one kind of rope, of sizes that matter to prompts of a few tokens. rotary: dimensions turned."""
    kind = draw.one_of(kinds)
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": draw.one_of((10.0, 500.0, 1e4))}
    if kind in ("linear", "yarn", "llama3", "dynamic"):
        rope["factor"] = draw.real(1.5, 8.0)
    if kind in ("yarn", "llama3", "longrope"):
        rope["original_max_position_embeddings"] = draw.integer(2, max(2, longest - 1))
    if kind == "yarn":
        rope["beta_fast"], rope["beta_slow"] = draw.real(2.0, 32.0), draw.real(0.2, 1.0)
        if draw.chance(0.5):
            rope["attention_factor"] = draw.real(0.8, 1.5)
    if kind == "llama3":
        rope["low_freq_factor"], rope["high_freq_factor"] = draw.real(0.5, 1.5), draw.real(2.0, 6.0)
    if kind == "longrope":
        rope["factor"] = draw.real(1.0, 4.0)
        for name in ("short_factor", "long_factor"):
            rope[name] = [draw.real(1.0, 4.0) for _ in range(rotary // 2)]
    # The dynamic kind's exponent is dim / (dim - 2).
    if kind == "dynamic" and rotary <= 2:
        return {"rope_type": "default", "rope_theta": rope["rope_theta"]}
    return rope
