"""A list below a figure, from which a reader of the page chooses one prompt instead of the mean."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import altair as alt

from vitro.figures.spread import some_prompts
from vitro.figures.tokens import word
from vitro.tables.labels import counted

MEAN = -1
"""The number of the mean in the column `prompt` of what is drawn."""

_Chart = TypeVar("_Chart", alt.Chart, alt.LayerChart)
_Channel = TypeVar("_Channel", alt.X, alt.Y)


@dataclass(frozen=True)
class Choice:
    """What can be chosen. A picture without a page (SVG, PNG) shows the mean.

    tokens: the names of the positions for the mean. prompt_tokens: those of every prompt, or none where nothing can be
    chosen.
    Of more than 12 prompts, 12 can be chosen, evenly spread.
    """

    tokens: Sequence[str]
    prompt_tokens: Sequence[Sequence[str]]

    CHOSEN = "datum.prompt === shown"
    """The Vega expression for the rows to draw."""

    @property
    def prompts(self) -> list[int]:
        """The prompts that can be chosen."""
        return some_prompts(len(self.prompt_tokens))

    @property
    def widest(self) -> list[str]:
        """For each position the longest of its names, which decides the room for labels."""
        shown = [self.tokens, *(self.prompt_tokens[prompt] for prompt in self.prompts)]
        return [max(names, key=lambda name: len(word(name))) for names in zip(*shown, strict=True)]

    @property
    def listed(self) -> alt.Parameter:
        """The list, a parameter of the outermost chart."""
        if not self.prompt_tokens:
            return alt.param(name="shown", value=MEAN)
        texts = [" ".join(map(word, self.prompt_tokens[prompt])) for prompt in self.prompts]
        listed = alt.binding_select(
            name="Prompt: ",
            options=[MEAN, *self.prompts],
            labels=[f"mean over {counted(len(self.prompt_tokens))}", *texts],
        )
        return alt.param(name="shown", value=MEAN, bind=listed)

    def name(self, number: str) -> str:
        """A Vega expression for the name of a position in what is shown, given an expression for its number."""
        names = {prompt: [word(token) for token in self.prompt_tokens[prompt]] for prompt in self.prompts}
        names_by_prompt = json.dumps({MEAN: [word(token) for token in self.tokens], **names}, ensure_ascii=False)
        return f"{names_by_prompt}[shown][{number}]"

    def named(self, axis: alt.Axis) -> alt.Axis:
        """An axis of positions with the labels of what is shown."""
        axis.labelExpr = self.name("datum.value")
        return axis

    def renamed(self, channel: _Channel) -> _Channel:
        """A channel whose axis, if it has one, has the labels of what is shown."""
        if isinstance(axis := channel["axis"], alt.Axis):  # Not `.axis`, which is a method that sets it.
            self.named(axis)
        return channel

    def filtered(self, chart: _Chart) -> _Chart:
        """A chart of what is shown."""
        return chart.transform_filter(self.CHOSEN)
