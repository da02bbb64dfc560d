"""Sound checkpoints with one or two random faults: each gives a model that runs, or one line that refuses it."""

import json
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from command import is_one_line
from fuzz.check import Check, agree
from fuzz.draw import Draw
from fuzz.faults import add_fault
from fuzz.folders import TOKENIZERS, WORDS, sound_files
from limits import within
from tiny_models import SIZES
from vitro.engine import sweep
from vitro.errors import VitroError
from vitro.models import find, load, load_tokenizer
from vitro.models.config import config_hash
from vitro.tasks.tokenizer import encode, readable

SECONDS = 5
MEGABYTES = 200
FORMATS = (torch.float32, torch.bfloat16, torch.float16)


def check_checkpoints(draw: Draw) -> list[Check]:
    """All that reads a checkpoint, on one with faults: what comes of it, in how long, in how much memory."""
    files = sound_files(draw.one_of(list(SIZES)), draw.one_of(list(TOKENIZERS)), draw.chance(0.3), draw.one_of(FORMATS))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        faults = [add_fault(draw, folder) for _ in range(draw.integer(1, 2))]
        wrong = [what for read in (_run, _hash, _cut) if (what := _wrong(read, str(folder)))]
    return [agree(f"{'; '.join(faults)}: {'; '.join(wrong) or 'as it should be'}", not wrong)]


def _run(folder: str) -> None:
    """Load the model, write a text in its tokens, and run them."""
    model = load(folder)
    (encoded,) = encode(model.tokenizer, [WORDS])
    for token in encoded.ids:
        readable(model.tokenizer, token)
    tokens = [token for token in encoded.ids if token < model.shape.d_vocab] or [0]
    tokens = tokens[: model.shape.n_ctx]
    logits = sweep(model, [tokens], [()], lambda finals: {"logits": finals.logits})["logits"][0, 0]
    if (reference := _plain_logits(folder, tokens)) is not None:
        torch.testing.assert_close(logits, reference, atol=1e-4 * float(reference.abs().max()), rtol=0.0)


def _plain_logits(folder: str, tokens: list[int]) -> Tensor | None:
    """What plain transformers makes of the folder; None where that fails on what changes no logit."""
    config = json.loads((Path(folder) / "config.json").read_text("utf-8-sig"))
    # transformers makes it into a list of as many.
    if "num_labels" in config:
        return None
    try:
        hf = AutoModelForCausalLM.from_pretrained(
            folder,
            # Its eager attention adds ALiBi twice.
            attn_implementation="sdpa" if config.get("model_type") == "falcon" else "eager",
            dtype=torch.float32,
            local_files_only=True,
        )
        hf.set_experts_implementation("eager")
        with torch.no_grad():
            logits: Tensor = hf(torch.tensor([tokens])).logits[0, -1]
    except Exception:
        return None
    return logits


def _hash(folder: str) -> None:
    checkpoint = find(folder)
    config_hash(checkpoint)
    checkpoint.tokenizer_hash()
    checkpoint.weights_hash()


def _cut(folder: str) -> None:
    tokenizer, _ = load_tokenizer(find(folder))
    encode(tokenizer, [WORDS])


def _wrong(read: Callable[[str], None], folder: str) -> str:
    """What is wrong with what comes of reading a folder; nothing where it is a result or one line."""
    try:
        with within(SECONDS, MEGABYTES):
            read(folder)
    except VitroError as error:
        return "" if is_one_line(str(error)) else f"{type(error).__name__}: {error}"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return traceback.format_exc()
    return ""
