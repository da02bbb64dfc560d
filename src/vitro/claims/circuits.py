"""Circuits, months and numbers: claims 30 to 39."""

import polars as pl

from vitro.claims.claim import Claim, Finding, Tables, close, digits, mean_of, named
from vitro.tables import selective_heads

IN_VITRO, GENERAL = "In-Vitro Results", "Generalizations"


def _right(tables: Tables, circuit: str) -> list[int]:
    """The prompts whose answer is the circuit's top token."""
    return sorted(tables["circuits"].filter(pl.col("circuit") == circuit, pl.col("answer_rank") == 0)["prompt"])


def _leading(tables: Tables, circuit: str) -> list[int]:
    """The prompts whose answer leads the task's other answers."""
    table = tables["circuit_answer_table"].filter(circuit=circuit).sort("logit", descending=True)
    tops = table.group_by("prompt", maintain_order=True).agg(pl.col("answer").first().alias("top"))
    words = tables["clean"].select("prompt", "answer")
    return sorted(tops.join(words, on="prompt").filter(pl.col("top") == pl.col("answer"))["prompt"])


def _top(tables: Tables, circuit: str, prompt: int) -> str:
    top: str = tables["circuits"].filter(circuit=circuit, prompt=prompt)["top_token"][0]
    return top


def _mean(tables: Tables, circuit: str) -> float:
    return mean_of(tables["circuits"].filter(circuit=circuit), "answer_prob")


def c1(tables: Tables) -> Finding:
    leading = _leading(tables, "C1")
    return Finding(f"{len(leading)}/7", len(leading) == 7)


def c2(tables: Tables) -> Finding:
    leading = _leading(tables, "C2")
    return Finding(f"{len(leading)}/7", len(leading) == 7)


def c3(tables: Tables) -> Finding:
    leading = _leading(tables, "C3")
    return Finding(f"the answer leads in prompts {leading}", leading == [0, 1, 2, 3, 4, 5])


def c5(tables: Tables) -> Finding:
    pinned, free = _mean(tables, "C5"), _mean(tables, "C4")
    return Finding(f"{digits(pinned)} against {digits(free)}", pinned > free)


def c6(tables: Tables) -> Finding:
    right, first = _right(tables, "C6"), _top(tables, "C6", 0)
    return Finding(f"{len(right)}/7, prompt 0: {first!r}", right == [1, 2, 3, 4, 5] and first == "Tuesday")


def c7(tables: Tables) -> Finding:
    right = _right(tables, "C7")
    return Finding(f"{len(right)}/7", len(right) == 7)


def months_selective(tables: Tables) -> Finding:
    heads = [selective_heads(tables["head_lens"], misses=misses) for misses in (0, 1)]
    return Finding("; ".join(map(named, heads)), heads == [[], [(9, 1)]])


def c8(tables: Tables) -> Finding:
    right, july = _right(tables, "C7"), _top(tables, "C7", 6)
    return Finding(f"{len(right)}/12, July: {july!r}", len(right) == 11 and july == " Aug")


def numbers_10(tables: Tables) -> Finding:
    alone, clean = _mean(tables, "C9"), mean_of(tables["clean"], "answer_prob")
    return Finding(f"{digits(alone)}, clean {digits(clean)}", alone > clean)


def numbers_100(tables: Tables) -> Finding:
    mean, right = _mean(tables, "C9"), _right(tables, "C9")
    return Finding(f"{digits(mean)}; {len(right)}/100", close(mean, 0.7363, 0.005) and len(right) == 83)


CLAIMS = (
    Claim(30, IN_VITRO, "C1, five heads kept under mean ablation: the answer leads the days", "7/7", c1),
    Claim(31, IN_VITRO, "C2, six heads kept under random ablation: the same", "7/7", c2),
    Claim(32, IN_VITRO, "C3, residual cut, random below: Sunday fails, the others do not", "prompts 0 to 5", c3),
    Claim(33, IN_VITRO, "C5, pinned, is better than C4, not pinned (mean answer probability)", "C5 > C4", c5),
    Claim(34, IN_VITRO, "C6, two heads and MLP 0: Monday gives 'Tuesday' without its space, Sunday fails",
          "5/7, prompt 0: 'Tuesday'", c6),
    Claim(35, IN_VITRO, "C7, two heads and MLPs 0 and 9: all right", "7/7", c7),
    Claim(36, GENERAL, "months: heads selective in 12 of 12; in 11 of 12", "[]; [9.1]", months_selective, "months"),
    Claim(37, GENERAL, "C8, months: all right but July, which gives ' Aug'", "11/12, July: ' Aug'", c8, "months"),
    Claim(38, GENERAL, "numbers to 10: C9 is better than the model (mean answer probability)", "C9 > clean", numbers_10,
          "numbers:10"),
    Claim(39, GENERAL, "C9, numbers to 100: mean answer probability; prompts right", "0.7363 ± 0.005; 83/100",
          numbers_100, "numbers:100"),
)  # fmt: skip
