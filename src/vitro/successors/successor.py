"""The whole question: which heads know what comes next, and how the best of them does it."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape

import polars as pl
import polars.selectors as cs
import torch

from vitro.errors import VitroError
from vitro.figures import Figure, to_svg
from vitro.figures.successors import eigenvalue_figure, successor_scores, successor_words
from vitro.models import Model
from vitro.report import Page, Section, render
from vitro.successors.modes import modes_of
from vitro.successors.rotation import singular_values, steps, turns
from vitro.successors.scores import head_table, head_words, score_table
from vitro.successors.sets import SETS, OrderedSet, known_sets
from vitro.successors.verdict import verdict

Head = tuple[int, int]
RANDOM_HEADS = 20
"""Other heads that are asked the same about rotation; all others where there are fewer."""


@dataclass(frozen=True)
class Successors:
    """Successor scores of all heads, and the best head taken apart: tables by name, notes, verdicts.

    tables: `scores` (every norms, layer, head and set), `heads` (the mean over sets, the highest first), `words` (the
    best head's words x words tables), `singular_values` (of its M), `rotation` (a row for each cyclic set and head: the
    best and RANDOM_HEADS random ones), `modes` (of the same, a row for each Fourier mode of the set, in the space of
    inputs and of outputs) and `eigenvalues` (of the same).
    """

    model: str
    seed: int
    best: Head
    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...]
    """Words and sets that the tokenizer left out."""
    verdicts: tuple[str, ...]
    """Whether the best head's M is a rotation, or turns a plane: a sentence for each cyclic set."""

    @property
    def best_name(self) -> str:
        """The best head, as `a9.h1`."""
        return _name(self.best)

    def top(self, n: int = 10) -> pl.DataFrame:
        """The n heads with the highest mean score, norms included, and their score on every set."""
        scores = self.tables["scores"].filter(norms="with")
        by_set = scores.pivot("set", index=["layer", "head"], values="score")
        without = self.tables["heads"].filter(norms="without").select("layer", "head", without="mean_score")
        best = self.tables["heads"].filter(norms="with").head(n).select("layer", "head", mean="mean_score")
        return best.join(without, on=["layer", "head"], maintain_order="left").join(
            by_set, on=["layer", "head"], maintain_order="left"
        )

    @property
    def best_scores(self) -> pl.DataFrame:
        """The best head's score on every set, norms included."""
        layer, head = self.best
        mine = self.tables["scores"].filter(norms="with", layer=layer, head=head)
        return mine.select("set", "pairs", "right", "score", "chance")

    def beside_random(self, table: str, *keys: str) -> pl.DataFrame:
        """For each of the keys the best head's row of a table, and the random heads' lowest and highest numbers."""
        numbers = cs.numeric() - cs.by_name("layer", "head", *keys, require_all=False)
        parts = []
        for _, part in self.tables[table].group_by(keys, maintain_order=True):
            parts.append(part.filter(role="best"))
            random = part.filter(role="random")
            for name, extreme in (("lowest", numbers.min()), ("highest", numbers.max())):
                parts.append(random.group_by(keys).agg(pl.lit(f"random, {name}").alias("role"), extreme))
        return pl.concat(parts, how="diagonal")

    @property
    def numbers(self) -> pl.DataFrame:
        """The ten best heads."""
        return self.top()

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """The figures, by name."""
        drawn: dict[str, Figure] = {
            "successor_scores": successor_scores(self.tables["heads"]),
            "successor_words": successor_words(self.tables["words"], self.best_name),
        }
        if len(self.tables["eigenvalues"]):
            drawn["eigenvalues"] = eigenvalue_figure(self.tables["eigenvalues"])
        return drawn

    def summary(self) -> str:
        """The best head, in a sentence, and whether it is one to speak of."""
        best = self.top(1).row(0, named=True)
        by_set = self.best_scores
        chance = by_set["chance"].to_numpy().mean()
        return (
            f"The best of {len(self.tables['heads']) // 2} heads is {self.best_name}: mean successor score "
            f"{best['mean']:.3f} over {len(by_set)} sets with the norms, "
            f"{best['without']:.3f} without; chance is {chance:.3f}."
            + ("" if best["mean"] >= 0.5 else " That is under one half: no successor head by this measure.")
        )

    def __repr__(self) -> str:
        return "\n".join([self.summary(), *self.verdicts, str(self.numbers)])

    def _repr_html_(self) -> str:
        drawings = "".join(to_svg(figure) for figure in self.figures.values())
        said = "".join(f"<p>{escape(line)}</p>" for line in (self.summary(), *self.verdicts))
        return f"<h3>Successor heads</h3>{said}{drawings}{self.numbers._repr_html_()}"


def successor(model: Model, sets: Sequence[OrderedSet] = SETS, name: str = "the model", seed: int = 0) -> Successors:
    """Successor scores of every head of a model on ordered sets, and whether the best head's M is a rotation.

    A head's score on a set: the share of words whose successor gets the highest logit among the set's words in
    `unembed(M(LN1(embed + m0)))`, M = W_V W_O (Gould et al. 2023, arXiv 2312.09230). The best head has the highest mean
    score over the sets, norms included. name: what the model is called. seed: of the shuffled orders and of the random
    heads beside the best. Raises VitroError where the tokenizer knows too little of every set.
    """
    if model.tokenizer is None:
        raise VitroError("successor scores need the model's tokenizer, and it came without one")
    known, notes = known_sets(model.tokenizer, sets)
    if not known:
        raise VitroError(f"the tokenizer knows no ordered set well enough: {'; '.join(notes)}")
    scores = score_table(model, known)
    heads = head_table(scores)
    best: Head = heads.filter(norms="with").select("layer", "head").row(0)
    others = list(heads.filter(norms="with").select("layer", "head").sort("layer", "head").iter_rows())
    others.remove(best)
    asked = [best, *random.Random(seed).sample(others, min(RANDOM_HEADS, len(others)))]

    rotation, modes, eigenvalues, verdicts = [], [], [], []
    for one in known:
        if not one.cyclic:
            continue
        if not one.complete:
            notes.append(f"{one.name}: words are missing, so it is no cycle and not asked about rotation")
            continue
        of_all = steps(model, one)
        by_head, planes = turns(model, one, asked, seed), modes_of(model, one, asked, seed)
        others_planes = [planes[other] for other in asked[1:]]
        verdicts.append(verdict(_name(best), one.name, by_head[best], planes[best], others_planes))
        for (layer, head), found in by_head.items():
            role = "best" if (layer, head) == best else "random"
            mine = of_all.filter(layer=layer, head=head).row(0, named=True)
            numbers = asdict(found)
            values = numbers.pop("eigenvalues")
            ranks = {
                f"{space}_rank": 1 + int((of_all[f"{space}_step"] > mine[f"{space}_step"]).sum())
                for space in ("input", "output")
            }
            where = {"set": one.name, "role": role, "layer": layer, "head": head}
            rotation.append({**where, **numbers, **ranks, "heads": len(of_all)})
            modes += [{**where, **asdict(mode)} for mode in planes[layer, head]]
            eigenvalues += [
                {
                    **where,
                    "n": found.n,
                    "real": value.real,
                    "imag": value.imag,
                    "modulus": abs(value),
                    "steps": math.atan2(value.imag, value.real) / (math.tau / found.n),
                }
                for value in values
            ]
    layer, head = best
    with torch.inference_mode():
        sizes = singular_values(model.w_value(layer)[head], model.w_out(layer)[head]).tolist()
    tables = {
        "scores": scores,
        "heads": heads,
        "words": head_words(model, known, layer, head),
        "singular_values": pl.DataFrame({"index": range(len(sizes)), "value": sizes}),
        "rotation": pl.DataFrame(rotation, infer_schema_length=None),
        "modes": pl.DataFrame(modes, infer_schema_length=None),
        "eigenvalues": pl.DataFrame(eigenvalues, infer_schema_length=None),
    }
    return Successors(name, seed, best, tables, tuple(notes), tuple(verdicts))


def page(found: Successors, command: str, top: int = 10) -> str:
    """The successors as an HTML page."""
    tables, figures = found.tables, found.figures
    python = "vitro.successor(model)"
    sections = [
        Section(
            "scores",
            "Which heads know what comes next",
            "A head's score on a set is the share of words whose successor leads the set's words in what the head "
            "makes of the word alone: embedding, MLP 0, the head's values and output, unembedding.",
            {"successor_scores": figures["successor_scores"]},
            found.top(top),
            python,
            command,
        ),
        Section(
            "words",
            f"What {found.best_name} makes of every word",
            "A row per word: the box is its successor, the dot what the head says; a dot in its box is right.",
            {"successor_words": figures["successor_words"]},
            found.best_scores,
            python,
            command,
        ),
        Section(
            "singular-values",
            f"The singular values of {found.best_name}'s M",
            "M = W_V W_O, kept as its two factors: it has as many singular values as the head has dimensions.",
            {},
            tables["singular_values"].head(16),
            python,
            command,
        ),
    ]
    if "eigenvalues" in figures:
        sections += [
            Section(
                "rotation",
                f"Is {found.best_name}'s M a rotation?",
                " ".join(found.verdicts),
                {"eigenvalues": figures["eigenvalues"]},
                found.beside_random("rotation", "set"),
                python,
                command,
            ),
            Section(
                "modes",
                f"Does {found.best_name}'s M turn a plane?",
                "For each Fourier mode of the cycle: its share of the words' variance and of what M writes; how much "
                "of what M writes of it stays in its plane, how much of that is a turn, and by how many words (a copy: "
                "0, the next word: 1); by what margin one word fits best, and how many shuffled orders have as much.",
                {},
                found.beside_random("modes", "set", "space", "mode"),
                python,
                command,
            ),
        ]
    facts = [("Model", found.model), ("Seed", str(found.seed)), *(("Left out", note) for note in found.notes)]
    return render(Page("Successor heads", [found.summary()], facts, sections))


def _name(head: Head) -> str:
    return f"a{head[0]}.h{head[1]}"
