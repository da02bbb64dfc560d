"""How a model that is loaded was read, and how it was proved."""

from dataclasses import dataclass

from vitro.models.parity import Parity


@dataclass(frozen=True)
class Origin:
    """What is worth telling of the loading of a model, beside where it is from.

    >>> model.origin.parity.holds, model.origin.asked
    (True, 'float32')
    """

    parity: Parity
    """Vitro's own pass beside that of transformers."""
    trusted: bool = False
    """Whether it is used although that parity does not hold (`trust_numbers`)."""
    asked: str | None = None
    """The number format that was asked for, which may be "auto"; None for a model that was in memory."""
    whole: str | None = None
    """The model type of the checkpoint of which this is the text part; None where it is all of it."""
