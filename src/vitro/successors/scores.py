"""Successor scores: what every head makes of every word of the ordered sets, through its effective OV circuit."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, get_args

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.engine import is_finite, not_finite
from vitro.models import Model
from vitro.successors.sets import Known

Norms = Literal["with", "without"]
"""Whether the head's own norm stands before M and the final norm before the unembedding, or neither."""
NORMS: tuple[Norms, ...] = get_args(Norms)


def effective_embedding(model: Model, tokens: Sequence[int]) -> Float[Tensor, "word d_model"]:
    """Each token's embedding plus the output of MLP 0 on that embedding alone: `embed + m0`.

    Learned position embeddings (GPT-2) are left out: the meaning of a word has no position. Source: Gould et al. 2023,
    arXiv 2312.09230, section 3. Raises NotFiniteError where it overflows the model's number format.
    """
    ids = torch.tensor(tokens, device=model.device)
    embedded = model.token_embed(ids)
    written: Tensor = embedded + model.mlp_out(0, embedded[None])[0]
    if not is_finite(written):
        raise not_finite(model, "embedding and MLP 0 of the words", "in layer 0")
    return written


def spoken_by(model: Model, word_set: Known) -> Float[Tensor, "word d_model"]:
    """The words' unembedding vectors times the final norm's weight: the directions that raise each word's logit."""
    ids = torch.tensor(word_set.tokens, device=model.device)
    return model.w_unembed[ids] * model.readout.norm.gain.to(model.w_unembed)


def head_outputs(
    model: Model, layer: int, inputs: Float[Tensor, "word d_model"], norms: Norms
) -> Float[Tensor, "head word d_model"]:
    """`LN1(x) W_V W_O` of every head of a layer, LN1 without its bias, or `x W_V W_O` without the norm; no other bias.

    With the norm, the values are the model's own (`Model.qkv`) minus the part that is the same for every word:
    b_V + b_LN W_V. Where a norm stands after the heads, its gain is part of W_O; what it divides by is the same for all
    of a head's output, and neither the final norm nor the order of logits knows of that.
    """
    shape = model.shape
    if norms == "with":
        positions = torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
        _, _, values = model.qkv(layer, inputs[None], positions)
        values = values[0].repeat_interleave(shape.n_heads // shape.n_kv_heads, dim=1) - model.folded_value_bias(layer)
        values = values.transpose(0, 1)
    else:
        values = inputs @ model.w_value(layer)
    return values @ model.w_out(layer)


def word_logits(
    model: Model, outputs: Float[Tensor, "head word d_model"], tokens: Sequence[int], norms: Norms
) -> Float[Tensor, "head word token"]:
    """The logits of these tokens when a head's output is read as a final stream. Only their rows of W_U are used.

    They are those before a soft cap, which keeps their order but may round two to one.
    """
    ids = torch.tensor(tokens, device=model.device)
    normed = model.final_norm(outputs) if norms == "with" else outputs
    # Always in float32: in bfloat16, words that the head tells apart would tie.
    logits = normed.float() @ model.w_unembed[ids].float().T
    return (logits if model.b_unembed is None else logits + model.b_unembed[ids].float()) * model.readout.scale


def leading(logits: Float[Tensor, "*row word"]) -> Int[Tensor, "*row"]:
    """The word with the highest logit in each row; -1 where two words share it or a logit is NaN."""
    top, word = logits.max(-1, keepdim=True)
    return torch.where((logits >= top).sum(-1) == 1, word[..., 0], -1)


@torch.inference_mode()
def all_logits(model: Model, sets: Sequence[Known]) -> Iterator[tuple[Norms, int, Float[Tensor, "head word word"]]]:
    """Each layer's logits of all words, given each word, over all sets; with and without the norms.

    Raises NotFiniteError where they hold NaN or infinity.
    """
    tokens = [token for word_set in sets for token in word_set.tokens]
    inputs = effective_embedding(model, tokens)
    for norms in NORMS:
        for layer in range(model.shape.n_layers):
            logits = word_logits(model, head_outputs(model, layer, inputs, norms), tokens, norms).cpu()
            if not is_finite(logits):
                raise not_finite(model, f"the heads' words {norms} norms", f"in layer {layer}")
            yield norms, layer, logits


def slices(sets: Sequence[Known]) -> list[slice]:
    """The slice of each set's words when the words of all sets are concatenated."""
    ends = [0]
    for word_set in sets:
        ends.append(ends[-1] + len(word_set.words))
    return [slice(start, end) for start, end in pairwise(ends)]


def score_table(model: Model, sets: Sequence[Known]) -> pl.DataFrame:
    """A row per norms, layer, head and set: pairs, right, score and chance.

    right: for how many words the successor leads the set's words. chance: the expected score of a head that says a
    random word of the set.
    """
    rows = []
    places = slices(sets)
    for norms, layer, logits in all_logits(model, sets):
        for word_set, place in zip(sets, places, strict=True):
            words, successors = torch.tensor(word_set.pairs).T
            n_pairs, n_words = len(word_set.pairs), len(word_set.words)
            top = leading(logits[:, place, place])
            right = (top[:, words] == successors).sum(-1).tolist()
            rows += [
                (norms, layer, head, word_set.name, n_pairs, count, count / n_pairs, 1 / n_words)
                for head, count in enumerate(right)
            ]
    return pl.DataFrame(
        rows, schema=["norms", "layer", "head", "set", "pairs", "right", "score", "chance"], orient="row"
    )


def head_table(scores: pl.DataFrame) -> pl.DataFrame:
    """A row per norms, layer and head: the mean of its scores over the sets, highest first."""
    mean = scores.group_by("norms", "layer", "head").agg(pl.col("score").mean().alias("mean_score"))
    return mean.sort(["norms", "mean_score", "layer", "head"], descending=[False, True, False, False])


@torch.inference_mode()
def head_words(model: Model, sets: Sequence[Known], layer: int, head: int) -> pl.DataFrame:
    """A head's logits of every candidate given every word of a set, with the norms.

    Columns: set, word, candidate, logit, centred (logit minus its row's mean), successor (whether the candidate is the
    word's successor), top (whether it leads the set's words).
    """
    frames = []
    for word_set in sets:
        inputs = effective_embedding(model, word_set.tokens)
        outputs = head_outputs(model, layer, inputs, "with")[head, None]
        logits = word_logits(model, outputs, word_set.tokens, "with")[0].cpu()
        n = len(word_set.words)
        after = dict(word_set.pairs)
        top = leading(logits).tolist()
        frames.append(
            pl.DataFrame(
                {
                    "set": [word_set.name] * (n * n),
                    "word": [word for word in word_set.words for _ in range(n)],
                    "candidate": list(word_set.words) * n,
                    "logit": logits.flatten().tolist(),
                    "centred": (logits - logits.mean(-1, keepdim=True)).flatten().tolist(),
                    "successor": [after.get(row) == column for row in range(n) for column in range(n)],
                    "top": [top[row] == column for row in range(n) for column in range(n)],
                }
            )
        )
    return pl.concat(frames)
