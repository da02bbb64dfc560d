"""Tables in which every claim of the post holds, written by hand from its statements."""

from collections.abc import Callable

import polars as pl

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"]
MONTHS += ["December"]
HEADS = [(layer, head) for layer in range(12) for head in range(12)]
Tables = dict[str, pl.DataFrame]


def words(task: str) -> list[str]:
    if task == "days":
        return DAYS
    return MONTHS if task == "months" else [str(number) for number in range(1, int(task.partition(":")[2]) + 1)]


def answers(task: str) -> list[str]:
    if task.startswith("numbers"):
        return [str(int(word) + 1) for word in words(task)]
    return words(task)[1:] + words(task)[:1]


def tables(task: str) -> Tables:
    """The tables of a task, as far as its claims look at them."""
    by_name: Tables = {"clean": clean(task), "circuits": circuits(task)}
    if task in ("days", "months"):
        by_name["head_lens"] = head_lens(task)
    if task == "days":
        by_name |= {
            "prompts": pl.DataFrame({"position": [0, 4, 7], "role": ["bos", "subject", "final"]}),
            "head_ablation": head_ablation(),
            "head_lens_top": head_lens_top(),
            "attention": attention(),
            "attention_pin": attention_pin(),
            "stream_top": stream_top(),
            "layer_lens": layer_lens(),
            "layer_lens_top": layer_lens_top(),
            "answer_table": answer_table(),
            "circuit_answer_table": circuit_answer_table(),
            "steering": rows(
                ("alpha", "prompt", "answer_prob"), lambda alpha, _: {-5.0: 0.05, -1.0: 0.1}.get(alpha, 0.2),
                ALPHAS, range(7),
            ),
            "steering_attention": steering_attention(),
            "steering_vector": pl.DataFrame(
                {"token": [" tomorrow"], "layer": [8], "direction": ["folded"], "positions": ["final"]}
            ),
            "mlp_local": mlp_local(),
            "mlp_ablation": rows(
                ("method", "layer", "prompt", "answer_prob_change"), lambda _, layer, __: -0.01 if layer else -0.2,
                ("zero", "mean"), range(12), range(7),
            ),
        }  # fmt: skip
    return by_name


ALPHAS = (-5.0, -1.0, 0.0, 1.0, 5.0, 100.0)


def rows(names: tuple[str, ...], value: Callable[..., object], *axes: object) -> pl.DataFrame:
    """A row for every combination of the axes, with the value that a function gives it."""
    keys: list[tuple[object, ...]] = [()]
    for axis in axes:
        keys = [(*key, point) for key in keys for point in axis]  # type: ignore[attr-defined]
    return pl.DataFrame(
        [(*key, value(*key)) for key in keys], schema=list(names), orient="row", infer_schema_length=None
    )


def clean(task: str) -> pl.DataFrame:
    probs = [0.2212, 0.2244, 0.2104, 0.2059, 0.2226, 0.3074, 0.1988]
    n = len(words(task))
    return pl.DataFrame(
        {
            "prompt": range(n),
            "wrong": words(task),
            "answer": answers(task),
            "answer_prob": probs if task == "days" else [0.05] * n,
            "answer_rank": [0] * n,
        }
    )


def head_ablation() -> pl.DataFrame:
    def change(method: str, head: tuple[int, int], prompt: int) -> float:
        if head == (10, 3):
            return -0.1
        if head in ((8, 9), (10, 7)):
            return 0.005
        if head in ((8, 1), (8, 6), (8, 8)):
            return -0.005
        return -0.05 if method == "zero" and head in ((0, 8), (11, 0)) else 0.001

    table = _split(
        rows(("method", "head", "prompt", "answer_prob_change"), change, ("zero", "random", "mean"), HEADS, range(7))
    )
    return table.with_columns((10 * pl.col("answer_prob_change")).alias("answer_logit_change"))


def head_lens(task: str) -> pl.DataFrame:
    copies = {(10, 3): 0.5869, (6, 9): 0.8075, (7, 10): 0.4078, (8, 1): 0.5489}
    n = len(words(task))
    table = rows(("head", "prompt", "wrong_prob"), lambda head, prompt: copies.get(head, 0.01), HEADS, range(n))
    # In months one miss.
    ranks = [int(not (head == (9, 1) and (task == "days" or prompt > 0))) for head in HEADS for prompt in range(n)]
    return _split(table.with_columns(pl.Series("answer_rank_among_answers", ranks), pl.lit(0.1).alias("answer_prob")))


def head_lens_top() -> pl.DataFrame:
    def token(head: tuple[int, int], prompt: int, rank: int) -> str:
        subject, answer = DAYS[prompt], DAYS[(prompt + 1) % 7]
        if head == (10, 3) and rank == 0:
            return f" {answer}" if subject == "Tuesday" else f" {subject}"
        if head == (8, 1) and rank == 2:
            return f" {subject}"
        if head == (9, 1) and prompt == 3 and rank in (1, 5):
            return f" {answer}" if rank == 1 else answer
        return f" other {rank}"

    return _split(rows(("head", "prompt", "rank", "token"), token, ((10, 3), (8, 1), (9, 1)), range(7), range(10)))


def attention() -> pl.DataFrame:
    weights = {(10, 3): {4: 0.7133}, (9, 1): {0: 0.7, 4: 0.2097}}
    return _split(
        rows(
            ("head", "prompt", "position", "weight"),
            lambda h, p, at: weights[h].get(at, 0.01),
            weights,
            range(7),
            range(8),
        )
    )


def attention_pin() -> pl.DataFrame:
    def prob(heads: str, prompt: int, position: int | None) -> float:
        return 0.2 if position is None else 0.4 if position == 4 else 0.1

    positions = (None, *range(8))
    return rows(("heads", "prompt", "position", "answer_prob"), prob, ("a9.h1", "a9.h1+a10.h3"), range(7), positions)


def stream_top() -> pl.DataFrame:
    def token(layer: int, position: int, prompt: int, rank: int) -> str:
        return f" {DAYS[prompt]}" if position == 4 and layer == 8 else " week"

    return rows(("layer", "position", "prompt", "rank", "token"), token, range(12), range(8), range(7), range(10))


def layer_lens() -> pl.DataFrame:
    stages = ("pre", "mid", "post")
    return rows(
        ("layer", "stage", "prompt", "answer_prob"),
        lambda layer, stage, _: 0.3 if (layer, stage) == (10, "post") else 0.1,
        range(12), stages, range(7),
    )  # fmt: skip


def layer_lens_top() -> pl.DataFrame:
    def token(layer: int, stage: str, prompt: int, rank: int) -> str:
        return " tomorrow" if layer in (8, 9) and prompt != 2 and rank == 0 else " day"

    return rows(("layer", "stage", "prompt", "rank", "token"), token, range(12), ("mid", "post"), range(7), range(2))


def answer_table() -> pl.DataFrame:
    def logit(component: str, prompt: int, answer: str) -> float:
        leads = prompt if component == "resid_post8" or prompt == 0 else (prompt + 1) % 7
        return float(answer == DAYS[leads])

    return rows(("component", "prompt", "answer", "logit"), logit, ("resid_post8", "resid_post9"), range(7), DAYS)


def steering_attention() -> pl.DataFrame:
    weights = {-5.0: 0.03221, -1.0: 0.1522, 0.0: 0.2097, 1.0: 0.3, 5.0: 0.5864, 100.0: 0.7499}
    return _split(rows(("alpha", "head", "prompt", "weight"), lambda a, h, p: weights[a], ALPHAS, ((9, 1),), range(7)))


def mlp_local() -> pl.DataFrame:
    table = rows(
        ("layer", "prompt", "answer_prob_after"), lambda layer, _: {9: 0.3, 7: 0.0}.get(layer, 0.1), range(12), range(7)
    )
    return table.with_columns(pl.lit(0.1).alias("answer_prob_before"))


def circuits(task: str) -> pl.DataFrame:
    names = {"days": ("C1", "C2", "C3", "C4", "C5", "C6", "C7"), "months": ("C7",)}.get(task, ("C9",))
    n = len(words(task))

    def top(circuit: str, prompt: int) -> str:
        if (circuit, prompt) == ("C6", 0):
            return "Tuesday"
        if (circuit, prompt) == ("C6", 6):
            return " Sunday"
        return " Aug" if task == "months" and prompt == 6 else f" {answers(task)[prompt]}"

    table = rows(("circuit", "prompt", "top_token"), top, names, range(n))
    ranks = [
        int(token != f" {answers(task)[prompt]}" or (task == "numbers:100" and prompt >= 83))
        for _, prompt, token in table.iter_rows()
    ]
    probs = pl.when(pl.col("circuit") == "C4").then(0.1).otherwise(0.7363)
    return table.with_columns(pl.Series("answer_rank", ranks), probs.alias("answer_prob"))


def circuit_answer_table() -> pl.DataFrame:
    def logit(circuit: str, prompt: int, answer: str) -> float:
        return float(answer == DAYS[prompt if (circuit, prompt) == ("C3", 6) else (prompt + 1) % 7])

    return rows(("circuit", "prompt", "answer", "logit"), logit, ("C1", "C2", "C3"), range(7), DAYS)


def _split(table: pl.DataFrame) -> pl.DataFrame:
    """The pair in `head` as layer and head."""
    pair = pl.col("head")
    return table.with_columns(pair.list.get(0).alias("layer"), pair.list.get(1).alias("head"))
