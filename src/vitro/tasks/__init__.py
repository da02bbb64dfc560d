"""What is asked of a model: a task's prompts and answers, their tokens, and the sentences drawn from them.

This room knows tokenizers only. It works in numpy and imports neither torch nor transformers.
"""

from vitro.tasks.builtin import BUILTIN, days, months, numbers
from vitro.tasks.errors import TaskError
from vitro.tasks.file import from_toml
from vitro.tasks.named import named
from vitro.tasks.questions import FINAL, Questions
from vitro.tasks.sentences import drawn, space_tokens
from vitro.tasks.successors import Successors
from vitro.tasks.task import DATASETS, Dataset, Task
from vitro.tasks.tokenize import tokenize
from vitro.tasks.tokenizer import Tokenizer, readable

__all__ = [
    "BUILTIN",
    "DATASETS",
    "FINAL",
    "Dataset",
    "Questions",
    "Successors",
    "Task",
    "TaskError",
    "Tokenizer",
    "days",
    "drawn",
    "from_toml",
    "months",
    "named",
    "numbers",
    "readable",
    "space_tokens",
    "tokenize",
]
