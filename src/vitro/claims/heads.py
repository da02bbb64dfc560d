"""The task, head ablation, and the logit lens on heads: claims 0 to 17."""

import polars as pl

from vitro.claims.claim import Claim, Finding, Head, Tables, digits, mean_of, measured, named, of_head
from vitro.tables import selective_heads

TASK, ABLATION, LENS = "The Task", "Head ablation", "Logit lens applied to heads"
CLEAN_PROBS = (0.2212, 0.2244, 0.2104, 0.2059, 0.2226, 0.3074, 0.1988)
METHODS = ("zero", "random", "mean")


def clean_probs(tables: Tables) -> Finding:
    probs = tables["clean"].sort("prompt")["answer_prob"].to_list()
    return measured(probs, CLEAN_PROBS, 0.002)


def all_right(tables: Tables) -> Finding:
    ranks = tables["clean"]["answer_rank"]
    right = int((ranks == 0).sum())
    return Finding(f"{right}/{len(ranks)}", right == len(ranks))


def changes(tables: Tables, method: str, column: str = "answer_prob_change") -> list[tuple[Head, float]]:
    """Every head's mean change of the answer's probability or logit, the largest loss first."""
    table = tables["head_ablation"].filter(method=method)
    rows = table.group_by("layer", "head").agg(pl.col(column).mean()).sort(column, "layer", "head").iter_rows()
    return [(Head(layer, head), change) for layer, head, change in rows]


def largest_drop(tables: Tables) -> Finding:
    first = [changes(tables, method)[0][0] for method in ("random", "mean")]
    return Finding("random {}.{}, mean {}.{}".format(*first[0], *first[1]), first == [Head(10, 3)] * 2)


def among_the_lowest(tables: Tables) -> Finding:
    order = [head for head, _ in changes(tables, "zero")]
    places = {head: 1 + order.index(head) for head in (Head(10, 3), Head(0, 8), Head(11, 0))}
    words = ", ".join(f"{layer}.{head} is number {place}" for (layer, head), place in places.items())
    return Finding(words, max(places.values()) <= 10)


def _signs(tables: Tables, heads: tuple[Head, ...], methods: tuple[str, ...], sign: int) -> Finding:
    changed = {
        (head, method): dict(changes(tables, method, "answer_logit_change"))[head]
        for head in heads
        for method in methods
    }
    words = "; ".join(
        f"{head[0]}.{head[1]} " + " ".join(f"{changed[head, method]:+.3g}" for method in methods) for head in heads
    )
    return Finding(words, all(value * sign > 0 for value in changed.values()))


def destructive(tables: Tables) -> Finding:
    return _signs(tables, (Head(8, 9), Head(10, 7)), METHODS, +1)


def helpful(tables: Tables) -> Finding:
    return _signs(tables, (Head(8, 1), Head(8, 6), Head(8, 8)), ("mean", "random"), -1)


def sparse(tables: Tables) -> Finding:
    table = tables["head_ablation"].filter(method="mean")
    by_head = table.group_by("layer", "head").agg(pl.col("answer_prob_change").abs().mean())["answer_prob_change"]
    share = float((by_head.to_numpy() < 0.01).mean())
    return Finding(f"{share:.3f}", share > 0.8)


def _tops(tables: Tables, head: Head, ranks: int) -> list[tuple[list[str], str, str]]:
    """For every prompt: a head's first tokens by the lens, the subject and the answer."""
    top = of_head(tables["head_lens_top"], head).filter(pl.col("rank") < ranks)
    by_prompt = top.sort("prompt", "rank").group_by("prompt", maintain_order=True).agg("token")
    words = tables["clean"].select("prompt", "wrong", "answer")
    return [(tokens, subject, answer) for _, tokens, subject, answer in by_prompt.join(words, on="prompt").iter_rows()]


def copies_but_tuesday(tables: Tables) -> Finding:
    tops = _tops(tables, Head(10, 3), 1)
    subjects = sum(tokens == [f" {subject}"] for tokens, subject, _ in tops)
    tuesday = [tokens for tokens, subject, _ in tops if subject == "Tuesday"]
    return Finding(
        f"the subject in {subjects}; for Tuesday {tuesday[0][0]!r}", subjects == 6 and tuesday == [[" Wednesday"]]
    )


def holds_days(tables: Tables) -> Finding:
    days = set(tables["clean"]["wrong"])
    prompts = sum(any(token.strip() in days for token in tokens) for tokens, _, _ in _tops(tables, Head(8, 1), 3))
    return Finding(f"{prompts}/7", prompts == 7)


def sometimes_the_answer(tables: Tables) -> Finding:
    prompts = sum(f" {answer}" in tokens for tokens, _, answer in _tops(tables, Head(9, 1), 3))
    return Finding(f"{prompts} prompts", prompts >= 1)


def without_space(tables: Tables) -> Finding:
    prompts = sum(answer in tokens for tokens, _, answer in _tops(tables, Head(9, 1), 10))
    return Finding(f"{prompts} prompts", prompts >= 1)


def selective(tables: Tables) -> Finding:
    heads = selective_heads(tables["head_lens"])
    return Finding(named(heads), heads == [Head(9, 1)])


COPIES = {Head(10, 3): 0.5869, Head(6, 9): 0.8075, Head(7, 10): 0.4078, Head(8, 1): 0.5489}
"""The post's mean lens probabilities of the subject."""


def _copying(tables: Tables, heads: tuple[Head, ...]) -> Finding:
    probs = [mean_of(of_head(tables["head_lens"], head), "wrong_prob") for head in heads]
    return measured(probs, [COPIES[head] for head in heads], 0.005)


def copying_10_3(tables: Tables) -> Finding:
    return _copying(tables, (Head(10, 3),))


def copying_others(tables: Tables) -> Finding:
    return _copying(tables, (Head(6, 9), Head(7, 10), Head(8, 1)))


CLAIMS = (
    Claim(0, TASK, "clean answer probabilities, Monday to Sunday (a replication's)",
          " / ".join(map(digits, CLEAN_PROBS)) + " ± 0.002", clean_probs),
    Claim(1, TASK, "all day prompts are answered right (top token)", "7/7", all_right),
    Claim(2, ABLATION, "random and mean ablation: largest drop of the mean answer probability", "10.3", largest_drop),
    Claim(3, ABLATION, "zero ablation: 10.3, 0.8 and 11.0 are among its strongest drops", "within the 10 lowest",
          among_the_lowest),
    Claim(4, ABLATION, "8.9 and 10.7 are destructive: the answer's logit gains by zero, random, mean", "all above 0",
          destructive),
    Claim(5, ABLATION, "8.1, 8.6, 8.8 help: the answer's logit loses by mean, random", "all below 0", helpful),
    Claim(6, ABLATION, "mean ablation is sparse: heads with a mean absolute change below 0.01", "> 0.8 of all", sparse),
    Claim(7, LENS, "10.3's top token is the subject, for Tuesday the answer", "6; ' Wednesday'", copies_but_tuesday),
    Claim(8, LENS, "8.1's top 3 hold days", "7/7", holds_days),
    Claim(9, LENS, "9.1 has the answer in its top 3 for some prompts", ">= 1", sometimes_the_answer),
    Claim(14, LENS, "heads that rank the answer above all other days in every prompt", "[9.1]", selective),
    Claim(15, LENS, "mean lens probability of the subject, 10.3", "0.5869 ± 0.005", copying_10_3),
    Claim(16, LENS, "the same, 6.9 / 7.10 / 8.1", "0.8075 / 0.4078 / 0.5489 ± 0.005", copying_others),
    Claim(17, LENS, "9.1's top 10 hold the answer without its space for some prompts", ">= 1", without_space),
)  # fmt: skip
