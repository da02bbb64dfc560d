"""Columns that several tables share: their names and meanings, defined once."""

import polars as pl

from vitro.tables.quantities import CHANGES, QUANTITIES
from vitro.tables.schema import Column, text, value, whole

ALWAYS = ("answer_prob", "answer_logit", "kl")
"""Metrics that every task has; the others are null where a task lacks what they need."""
PROBABILITY, NATS = "probability", "nats"


def levels(prefix: str = "", words: str = "{}", *, always: bool = True) -> tuple[Column, ...]:
    """A column for every metric but `kl`. always: whether those that every task has are never null."""
    return tuple(
        Column(
            f"{prefix}{name}",
            pl.Float32,
            words.format(quantity.words),
            quantity.unit,
            not (always and name in ALWAYS),
            f"{prefix}<metric>",
        )
        for name, quantity in QUANTITIES.items()
        if name != "kl"
    )


LABEL = text("label", "what a person calls the prompt")
RIGHT = text("answer", "the right answer in words")
WRONG = text("wrong", "the wrong one in words; in a successor task the subject")
PROMPT = whole("prompt", "the prompt's number, in the task's own order")
LAYER = whole("layer", "the layer")
HEAD = whole("head", "the head in its layer")
POSITION = whole("position", "the position in the prompt; where the tokenizer has a BOS token, it is position 0")
TOKEN_ID = whole("token_id", "the token's number in the vocabulary")
STAGE = text("stage", "of the final stream: pre, before the heads; mid, before the MLP; post, after it")
ALPHA = Column("alpha", pl.Float64, "how many times the direction is added")
METHOD = text("method", "the kind of ablation: zero, random, mean, resample or counterfactual")
RANK = whole("rank", "the token's place among the ten most probable; 0 is the top")
TOKEN = text("token", "the token as text, its leading space kept, and bytes that are no whole character as `<0xE4>`")
PROB = value("prob", "the token's probability", PROBABILITY)
ANSWER_PROB = value("answer_prob", "the probability of the right tokens together", PROBABILITY)
WRONG_PROB = value("wrong_prob", "the probability of the wrong tokens together", PROBABILITY)
ANSWER_RANK = whole(
    "answer_rank", "how many tokens beside the right ones the best of these is not above; 0 is the top, a tie is not"
)
WRONG_RANK = whole(
    "wrong_rank", "the same of the best wrong token; null where a prompt has no wrong token", nullable=True
)
LISTED_RANK = whole(
    "answer_rank_among_answers",
    "how many other answers of the closed list (where there is none, wrong tokens) the right one is not above; "
    "a tie is not above, NaN is last",
)
TOP_TOKEN = text("top_token", "the most probable token")
TOP_PROB = value("top_prob", "its probability", PROBABILITY)
LOGIT = value("logit", "the answer's logit, by the lens for a component", NATS)
NORMALIZED = value("normalized", "the logit minus the mean of its table (all prompts and answers), over its deviation")
WEIGHT = value("weight", "the attention weight; those of one position that looks sum to 1")
KL = value("kl", QUANTITIES["kl"].words, QUANTITIES["kl"].unit)
CIRCUIT = text("circuit", "the circuit's name")
SOURCE = text("source", "the node that writes: `input`, `a9.h1`, `m9`")
TARGET = text("target", "the node that reads")
INPUT = text("input", "by which of its inputs a head reads: q, k or v; null for MLPs and logits", nullable=True)
SCORE = value(
    "score",
    "what the edge is worth, by the score that the table is named after; positive: it helps the metric (not said by "
    "`flow` and `random`)",
)
LEVELS = levels()
MODEL_LEVELS = levels("model_", "the same of the model: {}")
CHANGE_COLUMNS = tuple(
    Column(
        name,
        pl.Float32,
        f"the change of {quantity.words}",
        quantity.unit,
        quantity.name not in ALWAYS,
        "<metric>_change",
    )
    for name, quantity in CHANGES.items()
)

SHARED = (
    PROMPT, LABEL, RIGHT, WRONG, LAYER, HEAD, STAGE, POSITION, TOKEN_ID, TOKEN, RANK, PROB, METHOD, ALPHA, ANSWER_PROB,
    WRONG_PROB, ANSWER_RANK, LISTED_RANK, TOP_TOKEN, TOP_PROB, LOGIT, NORMALIZED, WEIGHT, KL, CIRCUIT, SOURCE, TARGET,
    INPUT, SCORE,
)  # fmt: skip
"""The columns that the page on tables explains once."""
