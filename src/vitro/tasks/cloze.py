"""A sentence with a gap, and the ordered words that fill it: the text of a successor task."""

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from vitro.tasks.checks import check_count, check_name, check_size, check_template, checked_words
from vitro.tasks.errors import TaskError

Partners = Literal["cycle", "all"]


@dataclass(frozen=True)
class Cloze:
    """The fields of `Successors`, and the prompts and answers that follow from them, as text."""

    name: str
    template: str
    words: tuple[str, ...]
    cyclic: bool = False
    n: int | None = None
    # None only until __post_init__ has read the template: no caller sees it
    content: tuple[str, ...] = field(default=None)  # type: ignore[arg-type]
    paraphrases: tuple[str, ...] = ()
    partners: Partners = "cycle"
    seed: int = 0
    typed: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "typed", self.typed or f"{self.name}.toml")
        check_template(self.name, self.template)
        object.__setattr__(self, "words", checked_words(self.name, "words", self.words))
        if len(self.words) < 2:
            raise TaskError(f"task {self.name!r}: words has {len(self.words)}; a task needs at least two")
        check_size(self.name, self.template, self.words)
        if not isinstance(self.cyclic, bool):
            raise TaskError(f"task {self.name!r}: cyclic is {self.cyclic!r}; it must be true or false")
        check_count(self.name, self.n, self._most_subjects)
        content = self._template_words() if self.content is None else self.content
        object.__setattr__(self, "content", checked_words(self.name, "content", content))
        object.__setattr__(self, "paraphrases", checked_words(self.name, "paraphrases", self.paraphrases))
        for template in self.paraphrases:
            check_template(self.name, template)
        if self.partners not in get_args(Partners):
            listed = " or ".join(get_args(Partners))
            raise TaskError(f"task {self.name!r}: partners is {self.partners!r}; it must be {listed}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise TaskError(f"task {self.name!r}: seed is {self.seed!r}; it must be a whole number from 0")
        for word in self.content:
            if not self._occurrences(word, self.words[0]):
                words = ", ".join(repr(word) for word in self._template_words()) or "none"
                raise TaskError(
                    f"task {self.name!r}: content word {word!r} is not in the template {self.template!r} "
                    f"as a word of its own; its words are {words}"
                )

    @property
    def slot(self) -> str:
        """The name between the template's braces."""
        return self.template[self.template.index("{") + 1 : self.template.index("}")]

    @property
    def subjects(self) -> tuple[str, ...]:
        """The word in the slot, prompt by prompt."""
        return self.words[: self._most_subjects if self.n is None else self.n]

    @property
    def answers(self) -> tuple[str, ...]:
        """The correct word, prompt by prompt."""
        return tuple(self.words[(i + 1) % len(self.words)] for i in range(len(self.subjects)))

    @property
    def answer_list(self) -> tuple[str, ...]:
        """The ordered words that an answer is ranked among: all words if cyclic, else the answers."""
        return self.words if self.cyclic else self.answers

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts, subject by subject."""
        return tuple(self.fill(subject) for subject in self.subjects)

    def fill(self, word: str) -> str:
        """The template with `word` in its slot."""
        before, _, rest = self.template.partition("{")
        return before + word + rest.partition("}")[2]

    def subject_span(self, word: str) -> tuple[int, int]:
        """The characters of `word` in `fill(word)`: the first, and the end after the last."""
        start = self.template.index("{")
        return start, start + len(word)

    def content_spans(self, word: str) -> tuple[tuple[int, int], ...]:
        """The characters of the content words in `fill(word)`, from left to right."""
        return tuple(sorted(span for content in self.content for span in self._occurrences(content, word)))

    @property
    def _most_subjects(self) -> int:
        return len(self.words) if self.cyclic else len(self.words) - 1

    def _template_words(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._outside_subject(r"\w+(?:['\u2019]\w+)*", self.words[0]).values()))

    def _occurrences(self, content: str, word: str) -> tuple[tuple[int, int], ...]:
        # a word's edge: no letter beside a letter. Punctuation named as content has no such edge.
        edge = r"(?:(?<!\w)|(?!\w))", r"(?:(?!\w)|(?<!\w))"
        return tuple(self._outside_subject(edge[0] + re.escape(content) + edge[1], word))

    def _outside_subject(self, pattern: str, word: str) -> dict[tuple[int, int], str]:
        # searched in the filled text, so that the "th" of "{n}th" is not mistaken for a word
        start, end = self.subject_span(word)
        matches = re.finditer(pattern, self.fill(word))
        return {match.span(): match.group() for match in matches if match.end() <= start or match.start() >= end}
