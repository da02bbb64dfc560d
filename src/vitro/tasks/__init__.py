"""What is asked of a model: a task's prompts and answers, their tokens, and the sentences drawn from them.

This room knows tokenizers only. It works in numpy and imports neither torch nor transformers.
"""

from vitro.tasks.builtin import BUILTIN, days, months, numbers
from vitro.tasks.catalogue import CATALOGUE, Entry
from vitro.tasks.errors import TaskError
from vitro.tasks.file import from_toml
from vitro.tasks.generated import KINDS, Generated
from vitro.tasks.named import as_task, named
from vitro.tasks.pair import Listed, Pair, Token
from vitro.tasks.pair_file import from_rows
from vitro.tasks.pairs import MOST_ROWS, Pairs
from vitro.tasks.preview import Preview, PreviewRow, preview
from vitro.tasks.questions import FINAL, Questions
from vitro.tasks.sentences import drawn, space_tokens
from vitro.tasks.successors import Successors
from vitro.tasks.task import DATASETS, Dataset, Task
from vitro.tasks.tokenize import tokenize
from vitro.tasks.tokenizer import Tokenizer, readable

__all__ = [
    "BUILTIN",
    "CATALOGUE",
    "DATASETS",
    "FINAL",
    "KINDS",
    "MOST_ROWS",
    "Dataset",
    "Entry",
    "Generated",
    "Listed",
    "Pair",
    "Pairs",
    "Preview",
    "PreviewRow",
    "Questions",
    "Successors",
    "Task",
    "TaskError",
    "Token",
    "Tokenizer",
    "as_task",
    "days",
    "drawn",
    "from_rows",
    "from_toml",
    "months",
    "named",
    "numbers",
    "preview",
    "readable",
    "space_tokens",
    "tokenize",
]
