"""`vitro tasks`."""

from dataclasses import asdict

from vitro.cli.parameters import Json
from vitro.cli.printing import print_json, print_table


def tasks(as_json: Json = False) -> None:
    """The tasks that come with Vitro, and how to write one of your own."""
    from vitro.tasks import BUILTIN

    made = {name: make() for name, make in BUILTIN.items()}
    if as_json:
        print_json({name: asdict(task) for name, task in made.items()})
        return
    rows = [(name, task.template, f"{task.words[0]} to {task.words[-1]}") for name, task in made.items()]
    print_table(("task", "template", "words"), rows)
    print("numbers:N takes another count. A task of your own is a TOML file:\n")
    print(EXAMPLE)


EXAMPLE = """name = "seasons"
template = "After {season} comes"
words = ["spring", "summer", "autumn", "winter"]  # in order: the answer is the next one
cyclic = true                                     # the last is followed by the first
# n = 2                optional: only the first n words are asked about
# content = ["After"]  optional: the words that random ablation replaces; default: all of the template
# paraphrases = ["The season after {season} is"]  optional: other ways to ask, over which circuits are judged"""
