"""Checkpoints seen as residual streams. Knows transformers; knows nothing of tasks."""

from vitro.models.block import MLP, Experts, HeadNorm
from vitro.models.checkpoint import Checkpoint, find
from vitro.models.errors import ModelError
from vitro.models.families import FAMILIES
from vitro.models.load import load, load_checkpoint, load_tokenizer
from vitro.models.model import Model, Shape, check_model
from vitro.models.norm import Norm
from vitro.models.walk import BlockRun, attend, attention, run_block, weights_of

__all__ = [
    "FAMILIES",
    "MLP",
    "BlockRun",
    "Checkpoint",
    "Experts",
    "HeadNorm",
    "Model",
    "ModelError",
    "Norm",
    "Shape",
    "attend",
    "attention",
    "check_model",
    "find",
    "load",
    "load_checkpoint",
    "load_tokenizer",
    "run_block",
    "weights_of",
]
