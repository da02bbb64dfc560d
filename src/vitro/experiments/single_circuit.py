"""One circuit on a task, as `vitro circuit` shows it: its answers prompt by prompt, and where its heads look."""

import polars as pl

from vitro.experiments.answer_table import leading
from vitro.tables import Tables, at_places, head_name, places


def answers_by_prompt(tables: Tables) -> pl.DataFrame:
    """The tables of one circuit (`in_vitro`) as a row for each prompt: the question, and the circuit's answer.

    Columns: prompt, label, answer, wrong; those of table `circuits`; leading_answer: the answer of the closed
    list that the circuit puts above all others; null where two are level or there is no list.
    """
    leads = leading(tables["circuit_answer_table"], "circuit").select("prompt", leading_answer="answer")
    return (
        tables["clean"]
        .select("prompt", "label", "answer", "wrong")
        .join(tables["circuits"].drop("circuit"), on="prompt", maintain_order="left")
        .join(leads, on="prompt", how="left", maintain_order="left")
    )


def attention_by_head(tables: Tables) -> tuple[list[str], pl.DataFrame]:
    """What each head of one circuit attends to from the final stream, the mean over the prompts.

    Returns the column headings ("head", then a heading for each place) and a table with a row for each head.
    """
    weights = at_places(tables, tables["circuit_attention"])
    means = weights.group_by(head_name().alias("head"), "position", maintain_order=True).agg(pl.col("weight").mean())
    table = means.pivot("position", index="head", values="weight")
    shown = {str(number): place for number, place in enumerate(places(tables)) if str(number) in table.columns}
    return ["head", *map(str.strip, shown.values())], table.select("head", *shown)
