"""Checkpoints seen as residual streams. Knows transformers; knows nothing of tasks."""

from vitro.models.checkpoint import Checkpoint, find
from vitro.models.errors import ModelError
from vitro.models.load import FAMILIES, load, load_checkpoint, load_tokenizer
from vitro.models.model import Model, Shape, check_model

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "Model",
    "ModelError",
    "Shape",
    "check_model",
    "find",
    "load",
    "load_checkpoint",
    "load_tokenizer",
]
