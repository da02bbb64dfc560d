"""A tiny GPT-2 whose answer is known: two heads, set by hand, solve the day task; all others are noise.

The stream has a coordinate for each token, one for each position, and one for each token as an output, which is all
that the unembedding reads. At the final position both planted heads attend to the subject's position:
- COPY (0.2) writes the subject's own output coordinate, a little;
- SUCCESSOR (1.1) writes the next day's, more.
Without SUCCESSOR the model says the subject; without COPY it says the answer more surely.
"""

from functools import cache
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from task_tokenizers import whole_words
from vitro.models import Model, load
from vitro.tasks import days

COPY, SUCCESSOR = (0, 2), (1, 1)
N_LAYERS, N_HEADS, D_HEAD = 3, 4, 16
FINAL, SUBJECT = 7, 4
COPIED, SUCCEEDED = 2.0, 3.0
NOISE = 0.01
OTHER_WORDS = " house tree dog her sea red"


def plant(folder: Path, seed: int = 0) -> Path:
    """Write the planted checkpoint, with its tokenizer, in the hub's layout."""
    task = days()
    tokenizer = whole_words(task, known="\n".join([*task.prompts, OTHER_WORDS]))
    d_model, vocab = N_HEADS * D_HEAD, len(tokenizer)
    config = GPT2Config(
        n_layer=N_LAYERS,
        n_head=N_HEADS,
        n_embd=d_model,
        n_positions=10,
        vocab_size=vocab,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id,
    )
    hf = GPT2LMHeadModel(config).eval().requires_grad_(False)
    token, position, output = 0, vocab, vocab + 10
    balance = output + vocab
    assert balance + 2 <= d_model
    generator = torch.Generator().manual_seed(seed)
    for name, weight in hf.named_parameters():
        if "ln_" not in name:
            weight.copy_(NOISE * torch.randn(weight.shape, generator=generator))

    body, eye = hf.transformer, torch.eye(d_model)
    # Each embedding is one coordinate up and one down, so that a LayerNorm only scales it.
    body.wte.weight.copy_(eye[token : token + vocab] - eye[balance])
    body.wpe.weight.copy_(eye[position : position + 10] - eye[balance + 1])
    hf.lm_head.weight.copy_(eye[output : output + vocab])

    words = [tokenizer.encode(" " + day, add_special_tokens=False)[0] for day in task.words]
    for (layer, head), step, strength in ((COPY, 0, COPIED), (SUCCESSOR, 1, SUCCEEDED)):
        attn, columns = body.h[layer].attn, slice(head * D_HEAD, (head + 1) * D_HEAD)
        q, k, v = attn.c_attn.weight.split(d_model, dim=1)
        for weight in (q, k, v):
            weight[:, columns] = 0.0
        attn.c_proj.weight[columns] = 0.0
        q[position + FINAL, head * D_HEAD] = 2.0
        k[position + SUBJECT, head * D_HEAD] = 2.0
        for number, word in enumerate(words):
            v[token + word, head * D_HEAD + 1 + number] = 0.25
            attn.c_proj.weight[head * D_HEAD + 1 + number, output + words[(number + step) % 7]] = strength
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@cache
def planted(folder: Path) -> Model:
    """The planted model, written to a folder and loaded from there."""
    return load(str(plant(folder)))
