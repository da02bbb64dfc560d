"""What is wrong with a model, in one line."""

from vitro.errors import VitroError


class ModelError(VitroError):
    """A model that cannot be loaded: its name, files, family or weights are at fault."""
