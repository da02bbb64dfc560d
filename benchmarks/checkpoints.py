"""Small random checkpoints with SmolLM2's tokenizer, as of one training run: what an atlas can be tried on anywhere.

    python benchmarks/checkpoints.py studies/checkpoints --count 3

writes studies/checkpoints/step0, step1000, step2000.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import transformers

import vitro
from vitro.models.config import quiet_transformers


def write(folder: Path, count: int, layers: int = 4, heads: int = 4, d_model: int = 64) -> list[Path]:
    """The checkpoints, which differ in their seed alone; those that are there already stay as they are."""
    paths = [folder / f"step{1000 * number}" for number in range(count)]
    missing = [path for path in paths if not (path / "model.safetensors").exists()]
    tokenizer: Any = vitro.load("smollm2").tokenizer if missing else None
    for path in missing:
        torch.manual_seed(paths.index(path))
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=d_model,
            intermediate_size=2 * d_model,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=True,
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
