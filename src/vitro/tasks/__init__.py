"""What is asked of a model: a task's prompts and answers, their tokens, and the sentences drawn from them.

This room knows tokenizers only. It works in numpy and imports neither torch nor transformers.
"""

from vitro.tasks.builtin import BUILTIN, days, months, numbers
from vitro.tasks.datasets import DATASETS, Dataset, draw, space_tokens
from vitro.tasks.errors import TaskError
from vitro.tasks.file import from_toml
from vitro.tasks.named import argument, named
from vitro.tasks.prompts import Prompts, Role, tokenize
from vitro.tasks.task import Task
from vitro.tasks.tokenizer import Tokenizer, readable

__all__ = [
    "BUILTIN",
    "DATASETS",
    "Dataset",
    "Prompts",
    "Role",
    "Task",
    "TaskError",
    "Tokenizer",
    "argument",
    "days",
    "draw",
    "from_toml",
    "months",
    "named",
    "numbers",
    "readable",
    "space_tokens",
    "tokenize",
]
