"""Random prompts: unequal lengths, shared beginnings, one the beginning of another, the same twice, a single token."""

from fuzz.draw import Draw
from vitro.models import Model

Tokens = list[list[int]]
LONGEST = 16


def draw_prompts(draw: Draw, model: Model, *, at_least: int = 1, at_most: int = 6, shortest: int = 1) -> Tokens:
    """Prompts of any lengths that the model takes."""
    longest = min(LONGEST, model.shape.n_ctx)
    prompts: Tokens = []
    for _ in range(draw.integer(at_least, at_most)):
        prompt = _fresh(draw, model, draw.integer(shortest, longest))
        if prompts and draw.chance(0.6):
            earlier = draw.one_of(prompts)
            shared = draw.integer(shortest, len(earlier))
            # Whole, it is the same prompt again or the beginning of another one.
            prompt = earlier[:shared] if draw.chance(0.3) else (earlier[:shared] + prompt)[:longest]
        prompts.append(prompt)
    return draw.shuffled(prompts)


def draw_alike(draw: Draw, model: Model, *, at_least: int = 2, at_most: int = 5) -> Tokens:
    """Prompts of one length, which often share beginnings."""
    length = draw.integer(2, min(LONGEST, model.shape.n_ctx))
    first = _fresh(draw, model, length)
    prompts = [first]
    for _ in range(draw.integer(at_least, at_most) - 1):
        shared = draw.integer(0, length)
        prompts.append(first[:shared] + _fresh(draw, model, length - shared))
    return draw.shuffled(prompts)


def draw_partners(draw: Draw, model: Model, prompts: Tokens) -> Tokens:
    """For each prompt one as long, which often begins alike, ends alike, or is the same."""
    partners = []
    for prompt in prompts:
        first, last = sorted(draw.integer(0, len(prompt)) for _ in range(2))
        partners.append(prompt[:first] + _fresh(draw, model, last - first) + prompt[last:])
    return partners


def _fresh(draw: Draw, model: Model, length: int) -> list[int]:
    return [draw.integer(0, model.shape.d_vocab - 1) for _ in range(length)]
