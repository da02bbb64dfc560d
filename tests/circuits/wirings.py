"""Circuits of every kind, for models of three layers and four heads or more, and prompts to run them on."""

# They differ at position 2, as a task's prompts do.
PROMPTS = [[1, 2, 10 + number, 3, 4] for number in range(5)]
SUBJECT = 2
SENTENCES = [[1, 2, 20 + number, 3, 5] for number in range(8)]

WIRINGS = {
    "two pinned heads on embedding and MLP 0": (
        "input -> m0; input, m0 -> a1.h1[subject], a2.h3[subject]; a1.h1, a2.h3 -> logits"
    ),
    "an MLP that reads a later head": (
        "input -> m0; input, m0 -> a1.h1[subject], a2.h3; a1.h1, a2.h3 -> m1; a1.h1, a2.h3, m1 -> logits"
    ),
    "q, k and v from different sums": (
        "input -> m0; input -> a1.h0<q>; m0 -> a1.h0<k>; input, m0 -> a1.h0<v>; a1.h0, m0 -> logits"
    ),
    "pinned heads read beside the final stream": (
        "input -> a0.h1[1]; a0.h1, input -> a2.h0; a2.h0, a0.h1, b0, b2 -> logits"
    ),
    "a pinned head beside one whose attention is needed at the subject alone": (
        "input -> a0.h0; input -> a0.h1[3]; a0.h0 -> a1.h2<v>[subject]; a0.h1, a1.h2 -> logits"
    ),
    "values alone for a pinned head": "input -> m0; m0 -> a1.h1<v>[subject]; a1.h1 -> logits",
    "heads of one layer together and apart": (
        "input -> a1.h0, a1.h1, a1.h2; a1.h0, a1.h2 -> m2; a1.h0, a1.h1, m2 -> logits"
    ),
    "a stream with constants below": "mean: a0.h0-3, a1.h1; resid_post1 -> a2.h1, a2.h2; a2.h1, a2.h2 -> logits",
    "constants as sources": "zero: a0.h1; mean: m2; resample: a1.h2; input, a0.h1 -> a1.h3; a1.h2, a1.h3, m2 -> logits",
    "the embedding alone": "input -> logits",
}
