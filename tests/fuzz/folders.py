"""Small sound checkpoints of every family, whole and in shards, with tokenizers of several kinds, as their files."""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from small_models import KINDS, VOCAB, hf_model
from task_tokenizers import knowing, sentencepiece
from tiny_models import tiny_config, tiny_model
from vitro.models.config import quiet_transformers

WORDS = "If today is Monday, tomorrow is Tuesday"


def _pairs_of_bytes() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<s>"], show_progress=False)
    tokenizer.train_from_iterator([WORDS], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


TOKENIZERS: Mapping[str, Callable[[], Any]] = {
    "words": lambda: knowing(WORDS),
    "pairs of bytes": _pairs_of_bytes,
    "pieces": lambda: sentencepiece("▁", *dict.fromkeys("▁" + word for word in WORDS.split())),
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@cache
def sound_files(
    model_type: str, tokenizer: str, sharded: bool, dtype: torch.dtype = torch.float32
) -> Mapping[str, bytes]:
    """File name -> content of a checkpoint that loads.

    model_type: of small_models' KINDS or tiny_models' SIZES; tokenizer: of TOKENIZERS.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with quiet_transformers():
            _hf(model_type).to(dtype).save_pretrained(folder)
        TOKENIZERS[tokenizer]().save_pretrained(folder)
        if sharded:
            _cut(folder)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _hf(model_type: str) -> Any:
    if model_type in KINDS:
        return hf_model(model_type)
    return tiny_model(tiny_config(model_type, **({} if model_type == "gemma3" else {"vocab_size": VOCAB})))


def _cut(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: SHARDS[number % 2] for number, name in enumerate(sorted(weights))}
    for shard in SHARDS:
        save_file({name: weights[name] for name in where if where[name] == shard}, folder / shard, {"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
