"""Which heads know what comes next, and how the best of them does it."""

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
from vitro.figures import Figure, to_html
from vitro.figures.successors import eigenvalue_figure, successor_scores, successor_words
from vitro.heads import Head
from vitro.models import Model, check_model
from vitro.options import DEFAULT_MACHINE, Machine, python_lines
from vitro.report import Page, Section, Sentence, render
from vitro.successors.modes import modes_of
from vitro.successors.rotation import singular_values, steps, turns
from vitro.successors.scores import head_table, head_words, score_table
from vitro.successors.sets import SETS, OrderedSet, known_sets
from vitro.successors.verdict import verdict
from vitro.tables.labels import counted

RANDOM_HEADS = 20
"""Random heads that are compared with the best one for rotation; all other heads where there are fewer."""


@dataclass(frozen=True)
class Successors:
    """Successor scores of all heads, and an analysis of the best head: tables by name, notes, verdicts.

    tables: `scores` (every norms, layer, head and set), `heads` (the mean over sets, highest first), `words` (the best
    head's words x words tables), `singular_values` (of its M), `rotation` (a row for each cyclic set and head: the best
    one and RANDOM_HEADS random ones), `modes` (for the same heads, a row for each Fourier mode of the set, in the space
    of inputs and of outputs), `eigenvalues` (for the same heads), `verdicts` (a sentence for each cyclic set) and
    `left_out` (what the tokenizer left out, a note each). model: what it is called. seed: of what was drawn.
    """

    tables: Mapping[str, pl.DataFrame]
    model: str = "the model"
    seed: int = 0

    @property
    def best(self) -> Head:
        """The head with the highest mean score over the sets, with the norms."""
        return Head(*self.tables["heads"].filter(norms="with").select("layer", "head").row(0))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Whether the best head's M is a rotation, or turns a plane: a sentence for each cyclic set."""
        return tuple(self.tables["verdicts"]["verdict"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Words and sets that the tokenizer left out."""
        return tuple(self.tables["left_out"]["note"])

    @property
    def best_name(self) -> str:
        """The best head, as `a9.h1`."""
        return str(self.best)

    def top(self, n: int = 10) -> pl.DataFrame:
        """The n heads with the highest mean score, with the norms, and their score on every set."""
        scores = self.tables["scores"].filter(norms="with")
        by_set = scores.pivot("set", index=["layer", "head"], values="score")
        without = self.tables["heads"].filter(norms="without").select("layer", "head", without="mean_score")
        best = self.tables["heads"].filter(norms="with").head(n).select("layer", "head", mean="mean_score")
        return best.join(without, on=["layer", "head"], maintain_order="left").join(
            by_set, on=["layer", "head"], maintain_order="left"
        )

    @property
    def best_scores(self) -> pl.DataFrame:
        """The best head's score on every set, with the norms."""
        layer, head = self.best
        rows = self.tables["scores"].filter(norms="with", layer=layer, head=head)
        return rows.select("set", "pairs", "right", "score", "chance")

    def beside_random(self, table: str, *keys: str) -> pl.DataFrame:
        """For each value of the keys: the best head's row of a table, and the random heads' lowest and highest."""
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
            drawn["successor_eigenvalues"] = eigenvalue_figure(self.tables["eigenvalues"])
        return drawn

    def summary(self) -> str:
        """The best head and its score, in a sentence or two."""
        best = self.top(1).row(0, named=True)
        by_set = self.best_scores
        n_heads = len(self.tables["heads"]) // 2
        chance = by_set["chance"].to_numpy().mean()
        return (
            f"The best of {counted(n_heads, 'head')} is {self.best_name}: mean successor score "
            f"{best['mean']:.3f} over {counted(len(by_set), 'set')} with the norms, "
            f"{best['without']:.3f} without; chance is {chance:.3f}."
            + ("" if best["mean"] >= 0.5 else " That is under one half: no successor head by this measure.")
        )

    def __repr__(self) -> str:
        return "\n".join([self.summary(), *self.verdicts, str(self.numbers)])

    def _repr_html_(self) -> str:
        drawings = to_html(self.figures)
        sentences = "".join(f"<p>{escape(line)}</p>" for line in (self.summary(), *self.verdicts))
        return f"<h3>Successor heads</h3>{sentences}{drawings}{self.numbers._repr_html_()}"


def successor(model: Model, sets: Sequence[OrderedSet] = SETS, name: str = "the model", seed: int = 0) -> Successors:
    """Successor scores of every head of a model on ordered sets, and whether the best head's M is a rotation.

    A head's score on a set: the share of words whose successor gets the highest logit among the set's words in
    `unembed(M(LN1(embed + m0)))`, M = W_V W_O (docs/method.md, section 11; Gould et al. 2023, arXiv 2312.09230). The
    best head has the highest mean score over the sets, with the norms.

    name: what the model is called in the result. seed: of the shuffled orders and of the random heads. Raises
    VitroError where the tokenizer has too few words of every set as single tokens.

    >>> heads = vitro.successor(model)
    >>> heads.best_name
    'a1.h1'
    >>> heads.best_scores["set", "pairs", "right"].rows()
    [('days', 7, 7)]
    """
    check_model(model)
    if model.tokenizer is None:
        raise VitroError("successor scores need the model's tokenizer, and it came without one")
    known, notes = known_sets(model.tokenizer, sets)
    if not known:
        raise VitroError(f"the tokenizer knows no ordered set well enough: {'; '.join(notes)}")
    scores = score_table(model, known)
    heads = head_table(scores)
    best, *_ = ranked = [Head(*row) for row in heads.filter(norms="with").select("layer", "head").iter_rows()]
    other_heads = sorted(ranked[1:])
    asked = [best, *random.Random(seed).sample(other_heads, min(RANDOM_HEADS, len(other_heads)))]

    rotation, modes, eigenvalues, verdicts = [], [], [], []
    for word_set in known:
        if not word_set.cyclic:
            continue
        if not word_set.complete:
            notes.append(f"{word_set.name}: words are missing, so it is no cycle and not asked about rotation")
            continue
        all_steps = steps(model, word_set)
        by_head, planes = turns(model, word_set, asked, seed), modes_of(model, word_set, asked, seed)
        random_planes = [planes[other] for other in asked[1:]]
        said = verdict(str(best), word_set.name, by_head[best], planes[best], random_planes)
        verdicts.append({"set": word_set.name, "verdict": said})
        for (layer, head), turn in by_head.items():
            role = "best" if (layer, head) == best else "random"
            head_steps = all_steps.filter(layer=layer, head=head).row(0, named=True)
            numbers = asdict(turn)
            values = numbers.pop("eigenvalues")
            ranks = {
                f"{space}_rank": 1 + int((all_steps[f"{space}_step"] > head_steps[f"{space}_step"]).sum())
                for space in ("input", "output")
            }
            where = {"set": word_set.name, "role": role, "layer": layer, "head": head}
            rotation.append({**where, **numbers, **ranks, "heads": len(all_steps)})
            modes += [{**where, **asdict(mode)} for mode in planes[layer, head]]
            eigenvalues += [
                {
                    **where,
                    "n": turn.n,
                    "real": value.real,
                    "imag": value.imag,
                    "modulus": abs(value),
                    "steps": math.atan2(value.imag, value.real) / (math.tau / turn.n),
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
        "verdicts": pl.DataFrame(verdicts, schema={"set": pl.String, "verdict": pl.String}),
        "left_out": pl.DataFrame({"note": notes}, schema={"note": pl.String}),
    }
    return Successors(tables, name, seed)


def page(result: Successors, command: str, top: int = 10, machine: Machine = DEFAULT_MACHINE) -> str:
    """The result as an HTML page, which says how to make it again: by command, or in Python on a machine."""
    tables, figures = result.tables, result.figures
    sections = [
        Section(
            "scores",
            "Which heads know what comes next",
            "A head's score on a set is the share of words whose successor leads the set's words in what the head "
            "makes of the word alone: embedding, MLP 0, the head's values and output, unembedding.",
            {"successor_scores": figures["successor_scores"]},
            result.top(top),
        ),
        Section(
            "words",
            f"What {result.best_name} makes of every word",
            "A row per word: the box is its successor, the dot what the head says; a dot in its box is right.",
            {"successor_words": figures["successor_words"]},
            result.best_scores,
        ),
        Section(
            "singular-values",
            f"The singular values of {result.best_name}'s M",
            "M = W_V W_O, kept as its two factors: it has as many singular values as the head has dimensions.",
            {},
            tables["singular_values"].head(16),
        ),
    ]
    if "successor_eigenvalues" in figures:
        sections.append(
            Section(
                "rotation",
                f"Is {result.best_name}'s M a rotation?",
                " ".join(result.verdicts),
                {"successor_eigenvalues": figures["successor_eigenvalues"]},
                result.beside_random("rotation", "set"),
            )
        )
    if len(tables["modes"]):
        sections.append(
            Section(
                "modes",
                f"Does {result.best_name}'s M turn a plane?",
                "For each Fourier mode of the cycle: its share of the words' variance and of what M writes; how much "
                "of what M writes of it stays in its plane, how much of that is a turn, and by how many words (a copy: "
                "0, the next word: 1); by what margin one word fits best, and how many shuffled orders have as much.",
                {},
                result.beside_random("modes", "set", "space", "mode"),
            )
        )
    facts = [("Model", result.model), ("Seed", str(result.seed)), *(("Left out", note) for note in result.notes)]
    seed = f", seed={result.seed}" if result.seed else ""
    return render(
        Page(
            "Successor heads",
            [Sentence(result.summary())],
            facts,
            sections,
            command=command,
            python=python_lines(result.model, machine, f"vitro.successor(model{seed})"),
        )
    )
