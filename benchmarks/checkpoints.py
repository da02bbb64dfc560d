"""Small random checkpoints, as of one training run, that know the words of days, months, numbers and ordered sets.

    python benchmarks/checkpoints.py studies/checkpoints --count 3

writes studies/checkpoints/step0, step1000, step2000: what an atlas can be tried on anywhere.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from vitro.models.config import quiet_transformers
from vitro.successors.sets import SETS
from vitro.tasks import days, months, numbers

BOS = "<s>"


def words() -> Any:
    """A tokenizer with a token for each word of these tasks and sets, with its space, and one for all others."""
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = [prompt for task in (days(), months(), numbers(100)) for prompt in task.prompts]
    known += [f" {word}" for task in (days(), months(), numbers(100)) for word in task.answers]
    known += [f" {word}" for one in SETS for word in one.words]
    pieces = [piece for text in known for piece, _ in letters.pre_tokenize_str(text)]
    ids = {piece: number for number, piece in enumerate(dict.fromkeys([BOS, "<unk>", *pieces]))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = letters, decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, unk_token="<unk>")


def write(folder: Path, count: int, layers: int = 4, heads: int = 4, d_model: int = 64) -> list[Path]:
    """The checkpoints, which differ in their seed alone; those that are there already stay as they are."""
    paths = [folder / f"step{1000 * number}" for number in range(count)]
    tokenizer = words()
    for seed, path in enumerate(paths):
        if (path / "model.safetensors").exists():
            continue
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=d_model,
            intermediate_size=2 * d_model,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=None,
        )
        with quiet_transformers():
            tokenizer.save_pretrained(path)
            # Last, so that a folder with weights is whole.
            transformers.LlamaForCausalLM(config).save_pretrained(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=3)
    for written in write(**vars(parser.parse_args())):
        print(written)
