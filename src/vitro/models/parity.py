"""Whether Vitro computes what transformers computes: one short prompt, run by both, whenever a model is loaded.

A configuration may have a field that no one here knows, or a release of transformers may read one in another way. All
names and shapes fit then, and every number is wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.errors import ModelError

LENGTH = 8
"""Tokens of the prompt. What begins beyond them, as the edge of a longer window, is not seen."""
_JOLTS = 2
"""Copies of the prompt whose embeddings are disturbed by one rounding each."""
_AMPLITUDE = 8.0
"""How many times what the largest of those disturbances does the two may differ by.

Two ways to compute the same round differently at every step, not in the embedding alone. On random models of 2 to 4
layers and of weights of every scale (1,000 of five model types in each number format, and 1,578 of all types in float32
and in bfloat16) the difference was up to 5.3 times as large; on models of 30 and 48 layers it was no larger.
"""
_LEAST = 4.0
"""Roundings of the largest logit by which the two may differ anyway, where the model swallows the disturbance."""


@dataclass(frozen=True)
class Parity:
    """How far Vitro's own pass is from that of transformers, on one prompt.

    >>> parity = model.origin.parity
    >>> parity.holds, parity.difference <= parity.tolerance
    (True, True)
    """

    difference: float
    """The largest, in logits."""
    tolerance: float
    """What rounding explains, in this model and number format."""
    largest_logit: float
    """The largest by size, in transformers' pass."""
    dtype: str
    tokens: tuple[int, ...]
    """The prompt."""
    position: int
    """Where in it the largest difference is."""

    @property
    def holds(self) -> bool:
        """Whether rounding explains the difference; not so where only one of the passes gives numbers."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        verdict = "within" if self.holds else "beyond"
        return (
            f"logits {self.difference:.2g} apart at most, {verdict} the {self.tolerance:.2g} that rounding explains "
            f"(position {self.position} of {len(self.tokens)} tokens; largest logit {self.largest_logit:.3g}; "
            f"{self.dtype})"
        )


def check_parity(
    hf: Any, logits_of: Callable[[Int[Tensor, " position"]], Float[Tensor, "position d_vocab"]], longest: int = LENGTH
) -> Parity:
    """Compare a way to compute a model's logits with transformers' own pass, with attention written out ("eager").

    hf: of transformers; its settings are put back. logits_of: from a prompt's tokens, on the model's device. longest:
    the longest prompt that the model takes.

    What rounding explains is measured on the model itself: beside the prompt, transformers runs copies of it whose
    embeddings are off by one rounding in each coordinate, up or down at random. In a model with sharp attention or
    large weights that changes the logits by much, and in bfloat16 by 65,536 times as much as in float32. So in float32
    a factor of 1.01 left out, another epsilon or rope base, or a missing bias is seen. In half precision only larger
    faults are: in bfloat16 what changes logits by a fifth of the largest (SmolLM2-135M) or a third (Gemma 3 270M). A
    logit that overflows in transformers' own pass (float16) is compared with nothing.
    Raises ModelError where transformers itself does not run the model.
    """
    tokens = _prompt(hf, min(LENGTH, longest))
    rows = _rows(hf, tokens)
    expected, jolted = rows[0], rows[1:]
    with torch.inference_mode():
        apart = (logits_of(tokens).float() - expected).abs()
    # NaN of ours alone is as far apart as can be.
    apart = torch.where(expected.isfinite(), apart.nan_to_num(torch.inf), 0.0)
    largest = float(_known(expected.abs()).max())
    unit = _rounding(hf.get_input_embeddings().weight.dtype) / 2
    return Parity(
        difference=float(apart.max()),
        tolerance=_AMPLITUDE * float(_known((jolted - expected).abs()).max()) + _LEAST * unit * largest,
        largest_logit=largest,
        dtype=str(hf.get_input_embeddings().weight.dtype).removeprefix("torch."),
        tokens=tuple(tokens.tolist()),
        position=int(apart.amax(-1).argmax()),
    )


def require(name: str, parity: Parity) -> None:
    """Raises ModelError, with the numbers, where a model's parity does not hold. name: what the user typed."""
    if parity.difference == torch.inf:
        raise ModelError(
            f"model {name!r}: in {parity.dtype} Vitro's steps give NaN or infinity where those of transformers do not; "
            "what works: --dtype float32; to go on all the same: --trust-numbers (trust_numbers=True)"
        )
    if not parity.holds:
        raise ModelError(
            f"model {name!r}: Vitro computes other numbers than transformers ({parity}); a field of its configuration "
            "may be one that Vitro does not know; to go on all the same: --trust-numbers (trust_numbers=True)"
        )


def _prompt(hf: Any, length: int) -> Int[Tensor, " position"]:
    """Tokens from all over the vocabulary, always the same ones, after the one that marks a beginning, if there is one.

    A model that was trained to find that one there is another without it: of Gemma 3 270M rounding then moves logits
    eight times as far, which hides as much.
    """
    weight = hf.get_input_embeddings().weight
    special: set[int] = set()
    for field in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ids = getattr(hf.config, field, None)
        special |= {ids} if isinstance(ids, int) else set(ids or ())
    plain = [token for token in range(len(weight)) if token not in special] or [0]
    # By the golden ratio: far apart, in no order, and others for another length of vocabulary.
    picked = [plain[int(len(plain) * (step * 0.6180339887498949 % 1))] for step in range(1, length + 1)]
    bos = getattr(hf.config, "bos_token_id", None)
    begin = [bos] if isinstance(bos, int) and 0 <= bos < len(weight) else []
    return torch.tensor([*begin, *picked][:length], device=weight.device)


def _rows(hf: Any, tokens: Int[Tensor, " position"]) -> Float[Tensor, "row position d_vocab"]:
    """The logits of transformers' own pass: of the prompt, and of its disturbed copies."""
    try:
        with torch.inference_mode(), _written_out(hf), _jolted(hf):
            logits: Tensor = hf(tokens.expand(1 + _JOLTS, -1), use_cache=False).logits.float()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # Its experts run together in three formats alone, and where their widths are whole multiples of 16 bytes.
        why = str(error).strip().partition("\n")[0]
        works = 'hf.set_experts_implementation("eager"), where it is a mixture of experts, and then vitro.load(hf)'
        raise ModelError(
            f"transformers itself does not run this {hf.config.model_type} model ({why}); what works: {works}"
        ) from error
    return logits


def _rounding(dtype: torch.dtype) -> float:
    """The eps of a number format; of float32 for float64, since many norms compute in float32 there too."""
    return max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)


def _known(x: Tensor) -> Tensor:
    return x.nan_to_num(0.0, 0.0, 0.0)


@contextmanager
def _written_out(hf: Any) -> Iterator[None]:
    """The attention of transformers written out, and not a kernel's.

    But not Falcon's: transformers adds ALiBi twice there (5.23), and once where torch's own attention computes it.
    """
    how = "sdpa" if hf.config.model_type == "falcon" else "eager"
    configs = {id(module.config): module.config for module in hf.modules() if hasattr(module, "config")}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = how
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]


@contextmanager
def _jolted(hf: Any) -> Iterator[None]:
    """The embeddings of all rows but the first off by one rounding in each coordinate."""

    def jolt(_module: Any, _inputs: Any, embedded: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(2, embedded.shape, generator=generator).to(embedded.device) * 2 - 1
        signs[0] = 0
        # The half of eps is lost again where numbers are rounded; the whole reaches the next one.
        return (
            embedded.to(torch.promote_types(embedded.dtype, torch.float32)) * (1 + signs * _rounding(embedded.dtype))
        ).to(embedded.dtype)

    hook = hf.get_input_embeddings().register_forward_hook(jolt)
    try:
        yield
    finally:
        hook.remove()
