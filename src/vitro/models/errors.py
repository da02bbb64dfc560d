"""What is wrong with a model, in one line."""

from vitro.errors import VitroError

WHAT_WORKS = (
    "what works: a hub id (gpt2, EleutherAI/pythia-70m@main), a local folder, a .gguf file, smollm2, or gemma3-270m"
)


class ModelError(VitroError):
    """A model that cannot be loaded: its name, files, family or weights are at fault."""
