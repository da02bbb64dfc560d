"""Examples for the help of each command."""

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[str]] = {
    "vitro": (
        "vitro study days --model smollm2",
        "vitro find --help",
    ),
    "study": (
        "vitro study days --model gpt2",
        "vitro study ioi:100 --model gpt2 --also patching --no-find",
        "vitro study rows.csv:50 --model path/to/checkpoint --first-token",
    ),
    "find": (
        "vitro find days --model gpt2",
        "vitro find ioi:20 --model gpt2 --faithful 0.8 --budget 10m --out studies/ioi",
    ),
    "atlas": (
        "vitro atlas days,ioi:20 --models gpt2,path/to/checkpoint --out atlas --dry-run",
        "vitro atlas days --models models.txt --out atlas --measure ablate_heads",
        "vitro atlas days --models models.txt --out atlas --measure clean_run --on ray",
    ),
    "edges": (
        "vitro edges days --model gpt2",
        "vitro edges ioi:20 --model gpt2 --scores eap,eap-ig,relp",
    ),
    "curve": (
        "vitro curve ioi:20 --model gpt2 --scores eap-ig,relp",
        "vitro curve ioi:20 --model gpt2 --file scores.json --figure curve.svg",
    ),
    "export": (
        "vitro export ioi:20 --model gpt2 --mib circuits",
        "vitro export ioi:20 --model gpt2 --mib circuits --circuits --scores relp",
    ),
    "reproduce": (
        "vitro reproduce --model gpt2 --out claims.html",
        "vitro reproduce --model gpt2 --conventions all",
    ),
    "circuit": (
        'vitro circuit "input -> a9.h1[subject]; a9.h1 -> logits" days --model gpt2',
        "vitro circuit found.json ioi:20 --model gpt2 --absent counterfactual --judge",
    ),
    "successor": (
        "vitro successor --model gpt2",
        "vitro successor --model gpt2 --top 3 --out successors.html",
    ),
    "report": ("vitro report studies/days-gpt2",),
    "models": (
        "vitro models",
        "vitro models gpt2 --check",
        "vitro models --cache",
    ),
    "tasks": (
        "vitro tasks",
        "vitro tasks ioi --model gpt2 --first 2",
    ),
}
"""Command lines by command, as they are typed; `vitro` itself has some too."""


def epilog(command: str) -> str:
    """The examples of a command as the end of its help."""
    # A bracket would be taken for a style.
    return "\n  ".join(["Examples:", *(example.replace("[", "\\[") for example in EXAMPLES[command])])
