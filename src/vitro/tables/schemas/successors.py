"""Tables of successor heads: which heads say the next word of an ordered set, and whether one turns a cycle."""

from vitro.tables.columns import HEAD, LAYER, NATS
from vitro.tables.schema import Column, Schema, text, truth, value, whole

_SET = text("set", "the ordered set of words")
_NORMS = text("norms", "with or without the head's norm and the final norm")
_ROLE = text("role", "best: the best head; random: one drawn to compare it with")
_N = whole("n", "how many words the cycle has")


def _schema(name: str, row: str, *columns: Column) -> Schema:
    return Schema(name, row, "successor", columns, "study --also successor")


SCHEMAS = (
    _schema(
        "successor",
        "each head and ordered set, with and without the norms; read off the weights, so the same whatever the task",
        _NORMS,
        LAYER,
        HEAD,
        _SET,
        whole("pairs", "how many words of it have a successor"),
        whole("right", "for how many of these the head puts the successor first"),
        value("score", "right over pairs"),
        value("chance", "the score of a head that says a random word of the set"),
    ),
    _schema(
        "successor_heads",
        "each head, with and without the norms, highest first",
        _NORMS,
        LAYER,
        HEAD,
        value("mean_score", "the mean of its scores over the sets"),
    ),
    _schema(
        "successor_words",
        "each word of a set and each word that the best head may say to it",
        _SET,
        text("word", "the word"),
        text("candidate", "what may be said"),
        value("logit", "its logit, with the norms", NATS),
        value("centred", "the logit minus the mean over the set", NATS),
        truth("successor", "whether it is the next word"),
        truth("top", "whether it leads the set"),
    ),
    _schema(
        "successor_singular_values",
        "each singular value of the best head's M = W_V W_O",
        whole("index", "its place, the largest first"),
        value("value", "the singular value"),
    ),
    _schema(
        "successor_rotation",
        "each cyclic set and compared head: its M as a rotation ([successor.md](successor.md))",
        _SET,
        _ROLE,
        LAYER,
        HEAD,
        _N,
        value("stays", "the share of what M writes that stays in the span it reads"),
        value("angle_error", "how far the eigenvalues' angles are from the n-th roots', in steps", nullable=True),
        value("spread", "the largest over the smallest of their moduli", nullable=True),
        value("input_cosine", "how well M maps each word to the next, as words are read"),
        value("input_step", "the same minus how well it maps it to the one before"),
        value("input_p", "the share of orders of the words with as much"),
        value("output_cosine", "how well M maps each word to saying the next"),
        value("output_step", "minus saying the one before"),
        value("output_p", "the share of orders with as much"),
        whole("input_rank", "the head's rank of all by `input_step`, from 1"),
        whole("output_rank", "and by `output_step`"),
        whole("heads", "of how many heads"),
    ),
    _schema(
        "successor_modes",
        "each cyclic set, compared head, space and Fourier mode: whether M turns its plane",
        _SET,
        _ROLE,
        LAYER,
        HEAD,
        text("space", "input or output: which vectors span the planes"),
        whole("mode", "how many times the cycle goes round in it"),
        value("variance", "the mode's share of the words' variance"),
        value("written", "its share of what M writes for the cycle"),
        value("stays", "the share of what M writes for the mode that stays in its plane"),
        value("turned", "how much of that is a turn"),
        value("advance", "by how many words"),
        value("margin", "by how much one word on fits better than any other turn"),
        value("p", "the share of orders of the words with as large a margin"),
    ),
    _schema(
        "successor_eigenvalues",
        "each cyclic set, compared head and eigenvalue of M on the span of the words",
        _SET,
        _ROLE,
        LAYER,
        HEAD,
        _N,
        value("real", "its real part"),
        value("imag", "its imaginary part"),
        value("modulus", "its size"),
        value("steps", "its angle, in words"),
    ),
    _schema(
        "successor_verdicts",
        "each cyclic set",
        _SET,
        text("verdict", "whether the best head's M rotates it, or turns a plane, in a sentence"),
    ),
    _schema("successor_left_out", "each thing that the tokenizer left out", text("note", "what, in a sentence")),
)
