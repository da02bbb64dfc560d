"""A successor task: a sentence with a gap, and the ordered words that fill it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from vitro.options import TaskOptions
from vitro.tasks.cloze import Cloze
from vitro.tasks.questions import Questions
from vitro.tasks.sentences import drawn
from vitro.tasks.task import DATASETS, Dataset, told
from vitro.tasks.tokenize import tokenize
from vitro.tasks.tokenizer import Tokenizer


@dataclass(frozen=True)
class Successors(Cloze):
    """Prompts that differ in one word, the subject; the answer to each is the word that comes after it.

    >>> Successors("letters", "After {letter} comes", ("A", "B", "C")).prompts
    ('After A comes', 'After B comes')

    - `name`: letters, digits, `-` and `_`; a study's folder may be named after it.
    - `template`: the sentence with exactly one `{slot}`. It must not end in white space: the answer has its
      own leading space.
    - `words`: in order; the answer to `words[i]` is `words[i + 1]`.
    - `cyclic`: whether the first word follows the last.
    - `n`: how many of the words, from the first, are subjects; None takes all that have a successor.
    - `content`: the words of the template that carry the task apart from the subject. Whole words; every
      occurrence counts. Left out, it is every word outside the slot: random ablation then keeps only the
      punctuation.
    - `paraphrases`: other templates that ask the same, each with one slot.
    - `partners`: each prompt's counterfactual is another prompt: "cycle", the next in a cycle through all
      prompts that the `seed` draws; "all", every other prompt in turn.
    - `typed`: its name on the command line; left out, that of a file with its name.

    Raises `TaskError` for anything else, naming what is wrong and what would work.
    """

    right_called = "answer"
    wrong_called = "subject"
    metric = "answer_prob"
    ablations = ("zero", "random", "mean")
    sweep_prompts = None

    def __repr__(self) -> str:
        return told(self)

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
        self, questions: Questions, tokenizer: Tokenizer, samples: int, seed: int, n_tokens: int | None = None
    ) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The drawn sentences of the random and of the mean dataset (see `drawn`)."""
        return {name: drawn(questions, tokenizer, name, samples, seed, n_tokens) for name in DATASETS}

    def facts(self) -> Mapping[str, str]:
        """Its template and words."""
        words = ", ".join(self.words) + (" (cyclic)" if self.cyclic else "")
        return {"Template": self.template, "Words": words, "Content words": ", ".join(self.content)}

    def identity(self) -> Mapping[str, Any]:
        """Its fields, without `typed`."""
        return {name: value for name, value in asdict(self).items() if name != "typed"}
