"""A page with one figure of each kind, its tokens hostile."""

from collections.abc import Mapping

import polars as pl

from figures.ablation_tables import DAYS_SAID, HOSTILE, clean, head_ablation, mlp_ablation, questions
from vitro.figures import Figure, clean_answers, head_effects, mlp_effects
from vitro.report import Page, Section, Sentence


def section(name: str, figures: Mapping[str, Figure], numbers: pl.DataFrame) -> Section:
    return Section(
        name=name,
        title=f"Title of {name}",
        reading=f"How to read {name}.",
        figures=figures,
        numbers=numbers,
        python=f"m.{name}()",
        command=f"vitro {name} 'of its own'",
    )


PAGE = Page(
    title="A <b>page</b>",
    lead=[Sentence("What </script> came out.", "heads"), Sentence("And more.")],
    facts=[("model", "tiny"), ("seed", "0")],
    sections=[
        section("clean", {"clean": clean_answers(clean(HOSTILE), questions(HOSTILE), DAYS_SAID)}, clean(HOSTILE)),
        section("heads", {"heads": head_effects(head_ablation())}, head_ablation().head(3)),
        section("mlps", {"mlps": mlp_effects(mlp_ablation())}, pl.DataFrame()),
    ],
)
