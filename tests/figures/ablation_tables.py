"""Small tables with the columns of the method page, and tokens that try to break whoever prints them."""

from collections.abc import Sequence

import polars as pl

from vitro.tables import Said

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<b>",
    "\n",
    "\ufffd",
    "\u202eabc",
    "\x00\x1b[31m",
    "\u2028",
    " שלום",
    "&amp;",
    "'); alert(1); ('",
]


DAYS_SAID = Said(
    name="days",
    right="answer",
    wrong="subject",
    metric="answer_prob",
    unit="probability",
    words="the answer's probability",
    ablation="mean",
    n_prompts=7,
    n_swept=7,
    n_groups=1,
    n_answers=7,
    one_length=True,
)
"""Table `task` of days."""
IOI_SAID = Said(
    name="ioi-100",
    right="indirect object",
    wrong="subject",
    metric="logit_diff",
    unit="nats",
    words="the logit difference, right minus wrong",
    ablation="counterfactual",
    n_prompts=100,
    n_swept=32,
    n_groups=15,
    n_answers=0,
    one_length=False,
)
"""Table `task` of 100 prompts of 15 kinds, whose answers are of no list."""


def questions(subjects: list[str], groups: Sequence[str] | None = None) -> pl.DataFrame:
    """Table `questions` of the same prompts, of one kind or of these."""
    kinds: Sequence[str | None] = groups or [None] * len(subjects)
    columns = {"prompt": range(len(subjects)), "label": subjects, "group": kinds}
    return pl.DataFrame(columns, schema_overrides={"group": pl.String})


def clean(subjects: list[str], wrong: frozenset[int] = frozenset()) -> pl.DataFrame:
    """Table V1 with each subject answered by the next; in the `wrong` prompts another token is on top."""
    count = len(subjects)
    answers = [subjects[(prompt + 1) % count] for prompt in range(count)]
    probs = [0.2 + 0.01 * (prompt % 7) for prompt in range(count)]
    return pl.DataFrame(
        {
            "prompt": range(count),
            "label": subjects,
            "answer": answers,
            "wrong": subjects,
            "answer_logit": [12.0 + prob for prob in probs],
            "answer_prob": probs,
            "right_first": [float(prompt not in wrong) for prompt in range(count)],
            "answer_rank": [3 if prompt in wrong else 0 for prompt in range(count)],
            "wrong_prob": [0.05] * count,
            "top_token": [" the" if prompt in wrong else answers[prompt] for prompt in range(count)],
            "top_prob": [prob + 0.1 * (prompt in wrong) for prompt, prob in enumerate(probs)],
        }
    )


def head_ablation(layers: int = 3, heads: int = 4, prompts: int = 2) -> pl.DataFrame:
    """Table V3: every head costs a little more than the one before; zero ablation doubles it."""
    rows = [
        (prompt, method, layer, head, -strength * (layer * heads + head + 1) * (1 + 0.1 * prompt))
        for prompt in range(prompts)
        for method, strength in (("mean", 0.001), ("random", 0.001), ("zero", 0.002))
        for layer in range(layers)
        for head in range(heads)
    ]
    change = pl.col("answer_prob_change")
    return pl.DataFrame(
        rows, schema=["prompt", "method", "layer", "head", "answer_prob_change"], orient="row"
    ).with_columns(
        (change * 10).alias("answer_logit_change"),
        (change * 20).alias("logit_diff_change"),
        (-change).alias("kl"),
    )


def mlp_ablation(layers: int = 3, prompts: int = 2) -> pl.DataFrame:
    """Table V12: the deeper the MLP, the more its absence helps; at layer 0 it costs."""
    rows = [
        (prompt, method, layer, (layer - 1) * 0.1 + 0.01 * prompt)
        for prompt in range(prompts)
        for method in ("mean", "random", "zero")
        for layer in range(layers)
    ]
    return pl.DataFrame(rows, schema=["prompt", "method", "layer", "answer_prob_change"], orient="row").with_columns(
        (pl.col("answer_prob_change") * 10).alias("answer_logit_change")
    )
