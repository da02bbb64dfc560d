"""A successor task: one sentence with a gap, and the ordered words that fill it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from vitro.options import TaskOptions
from vitro.tasks.cloze import Cloze
from vitro.tasks.questions import Questions
from vitro.tasks.sentences import drawn
from vitro.tasks.task import DATASETS, Dataset
from vitro.tasks.tokenize import tokenize
from vitro.tasks.tokenizer import Tokenizer


@dataclass(frozen=True)
class Successors(Cloze):
    """Prompts that differ in one word, the subject; the answer to each is the word that comes after it.

    `Successors("days", "If today is {day}, tomorrow is", ("Monday", ..., "Sunday"), cyclic=True)` has seven
    prompts.

    - `name`: letters, digits, `-` and `_`; a study's folder may carry it.
    - `template`: the sentence with exactly one `{slot}`. It must not end in white space: the answer brings
      its own leading space.
    - `words`: in order; the answer to `words[i]` is `words[i + 1]`.
    - `cyclic`: whether the first word follows the last.
    - `n`: how many of the words, from the first, are subjects; None takes all that have a successor.
    - `content`: the words of the template that carry the task beside the subject. Whole words; every
      occurrence counts. Left out, it is every word outside the slot: random ablation then keeps only the
      punctuation.
    - `paraphrases`: other templates that ask the same, each with one slot.
    - `partners`: each prompt's counterfactual is another prompt: "cycle", each once with the one after it in a cycle
      through all that the `seed` draws; "all", once with every other.
    - `typed`: what names the task on the command line; left out, the file that would be called after it.

    Raises `TaskError` for anything else, naming what is wrong and what would work.
    """

    right_called = "answer"
    wrong_called = "subject"
    metric = "answer_prob"
    ablations = ("zero", "random", "mean")
    sweep_prompts = None

    @property
    def paraphrased(self) -> tuple["Successors", ...]:
        """The same task asked by each of the paraphrases; all their words outside the slot are content words."""
        return tuple(
            Successors(self.name, template, self.words, self.cyclic, self.n, partners=self.partners, seed=self.seed)
            for template in self.paraphrases
        )

    @property
    def named_with(self) -> TaskOptions:
        """Nothing: all of it is in the name."""
        return TaskOptions()

    def questions(self, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
        """The prompts in a tokenizer's tokens (see `tokenize`): right is the answer, wrong the subject."""
        return tokenize(self, tokenizer, n_ctx)

    def sentences(
        self, questions: Questions, tokenizer: Tokenizer, samples: int, seed: int
    ) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The drawn sentences of the random and of the mean dataset (see `drawn`)."""
        return {name: drawn(questions, tokenizer, name, samples, seed) for name in DATASETS}

    def facts(self) -> Mapping[str, str]:
        """Its template and words."""
        words = ", ".join(self.words) + (" (cyclic)" if self.cyclic else "")
        return {"Template": self.template, "Words": words, "Content words": ", ".join(self.content)}

    def identity(self) -> Mapping[str, Any]:
        """Its fields, but for what it is called by."""
        return {name: value for name, value in asdict(self).items() if name != "typed"}
