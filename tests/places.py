"""Where plain hooks go in transformers' own models: for each model type, the modules of a block by their names.

Read off transformers' modelling files, and told apart from what Vitro says of the same models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vitro.models import Model, Shape

Layout = Callable[[Shape, str, int], int]
"""Where the queries ("q"), keys or values of a head begin among a projection's outputs; heads may share the latter."""


def _shared(shape: Shape, name: str, head: int) -> int:
    """The number of a head among those that have queries, or that have keys and values."""
    return head if name == "q" else head // (shape.n_heads // shape.n_kv_heads)


def apart(shape: Shape, name: str, head: int) -> int:
    """Each of the three has a projection of its own."""
    return _shared(shape, name, head) * shape.d_head


def in_thirds(shape: Shape, name: str, head: int) -> int:
    """All queries, then all keys, then all values."""
    before = {"q": 0, "k": shape.n_heads, "v": shape.n_heads + shape.n_kv_heads}[name]
    return (before + _shared(shape, name, head)) * shape.d_head


def in_groups(shape: Shape, name: str, head: int) -> int:
    """The queries of the heads that share a key, this key, its value; then those of the next."""
    size = shape.n_heads // shape.n_kv_heads
    group, within = divmod(head, size)
    return (group * (size + 2) + {"q": within, "k": size, "v": size + 1}[name]) * shape.d_head


def in_quarters(shape: Shape, name: str, head: int) -> int:
    """For each quarter of the heads, its queries, then its values, then its keys."""
    size = shape.n_heads // 4
    quarter, within = divmod(head, size)
    return (quarter * 3 * size + {"q": 0, "v": size, "k": 2 * size}[name] + within) * shape.d_head


@dataclass(frozen=True)
class Places:
    """What a model type is like. Names of modules are those below a block, but for the first two."""

    blocks: str = "model.layers"
    final_norm: str = "model.norm"
    head_norm: str | None = "input_layernorm"
    qkv: tuple[str, str, str] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    layout: Layout = apart
    whole_norms: tuple[str, str] | None = None
    """Norms over all queries of a stream and over all its keys. (Norms of each head alone may stay where they are: what
    is put in before them is normed as it would be.)"""
    out: str = "self_attn.o_proj"
    """Reads all heads' z, one after the other, and holds W_O; it writes to the stream if no norm follows it."""
    after_heads: str | None = None
    mlp_norm: str | None = "post_attention_layernorm"
    mlp: str = "mlp"
    """Reads what `mlp_norm` puts out, and nothing else does."""
    mlp_out: str = "mlp"
    """Puts out what the MLP writes, if no norm follows it, and no stream is added yet."""
    after_mlp: str | None = None
    parallel: bool = False
    """Whether the MLP reads the stream that the heads read."""
    centred: bool = False
    """Whether norms subtract the mean."""
    offset: float = 0.0
    """What norms add to their weights."""
    eps: float | None = None
    """Of all norms; None: each module's own."""
    multiplier: float = 1.0
    """Of what heads and MLP write, before it is added to the stream."""
    limit: float | None = None
    """At which queries, keys and values are cut off."""
    logit_scale: float = 1.0
    softcap: float | None = None
    """Of the logits."""
    tells_attention: bool = True
    """Whether it is the same model where it is asked for its attention."""


# fmt: off
_LLAMA = Places()
_EACH_NORMED = replace(_LLAMA, mlp_norm="pre_feedforward_layernorm", after_heads="post_attention_layernorm",
                       after_mlp="post_feedforward_layernorm", offset=1.0)
_NORMED_AFTER = replace(_LLAMA, head_norm=None, mlp_norm=None, after_heads="post_attention_layernorm",
                        after_mlp="post_feedforward_layernorm")
_WHOLE_NORMS = ("self_attn.q_norm", "self_attn.k_norm")
_GPT = Places("transformer.h", "transformer.ln_f", "ln_1", ("attn.c_attn",) * 3, in_thirds, out="attn.c_proj",
              mlp_norm="ln_2", centred=True)
_GPTJ = replace(_GPT, qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"), layout=apart, out="attn.out_proj",
                mlp_norm="ln_1", parallel=True)
_NEOX = Places("gpt_neox.layers", "gpt_neox.final_layer_norm", qkv=("attention.query_key_value",) * 3, layout=in_groups,
               out="attention.dense", centred=True)
_BLOOM = Places("transformer.h", "transformer.ln_f", qkv=("self_attention.query_key_value",) * 3, layout=in_groups,
                out="self_attention.dense", mlp_out="mlp.dense_4h_to_h", centred=True)
_PARALLEL = replace(_LLAMA, mlp_norm="input_layernorm", parallel=True, centred=True)

_PLACES: dict[str, Places | Callable[[Any], Places]] = {
    **dict.fromkeys(["llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "qwen2_moe", "mixtral", "smollm3", "ministral",
                     "ministral3", "gpt_oss", "arcee", "helium", "seed_oss", "glm", "ernie4_5", "hunyuan_v1_dense"],
                    _LLAMA),
    "phi3": replace(_LLAMA, qkv=("self_attn.qkv_proj",) * 3, layout=in_thirds),
    "gemma": replace(_LLAMA, offset=1.0),
    "gemma2": lambda config: replace(_EACH_NORMED, softcap=config.final_logit_softcapping),
    "gemma3_text": lambda config: replace(_EACH_NORMED, softcap=config.final_logit_softcapping),
    "glm4": replace(_LLAMA, after_heads="post_self_attn_layernorm", after_mlp="post_mlp_layernorm"),
    "olmo": lambda config: replace(_LLAMA, centred=True, eps=1e-5, limit=config.clip_qkv),
    "olmo2": replace(_NORMED_AFTER, whole_norms=_WHOLE_NORMS),
    "olmo3": replace(_NORMED_AFTER, whole_norms=_WHOLE_NORMS),
    "exaone4": _NORMED_AFTER,
    "olmoe": lambda config: replace(_LLAMA, whole_norms=_WHOLE_NORMS, limit=config.clip_qkv),
    "granite": lambda config: replace(
        _LLAMA, multiplier=config.residual_multiplier, logit_scale=1 / config.logits_scaling
    ),
    "apertus": replace(_LLAMA, head_norm="attention_layernorm", mlp_norm="feedforward_layernorm"),
    "nemotron": replace(_LLAMA, centred=True, offset=1.0),
    "starcoder2": replace(_LLAMA, centred=True),
    "stablelm": lambda config: _PARALLEL if config.use_parallel_residual else replace(_LLAMA, centred=True),
    "cohere": lambda config: replace(_PARALLEL, logit_scale=config.logit_scale),
    "cohere2": lambda config: replace(_PARALLEL, logit_scale=config.logit_scale),
    "phi": replace(_PARALLEL, final_norm="model.final_layernorm", out="self_attn.dense"),
    "opt": Places("model.decoder.layers", "model.decoder.final_layer_norm", "self_attn_layer_norm",
                  out="self_attn.out_proj", mlp_norm="final_layer_norm", mlp="fc1", mlp_out="fc2",
                  centred=True),
    "gpt2": _GPT,
    "gpt_bigcode": replace(_GPT, layout=in_groups),
    "gpt_neo": replace(_GPT, qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
                       layout=apart, out="attn.attention.out_proj"),
    "gptj": _GPTJ,
    "codegen": replace(_GPTJ, qkv=("attn.qkv_proj",) * 3, layout=in_quarters),
    "gpt_neox": lambda config: replace(_NEOX, parallel=config.use_parallel_residual),
    "bloom": _BLOOM,
    "mpt": lambda config: replace(
        _GPT, blocks="transformer.blocks", final_norm="transformer.norm_f", head_norm="norm_1", qkv=("attn.Wqkv",) * 3,
        out="attn.out_proj", mlp_norm="norm_2", mlp="ffn", mlp_out="ffn.down_proj",
        limit=config.attn_config.clip_qkv or None),
    "falcon": lambda config: _falcon(config),
}
# fmt: on


def _falcon(config: Any) -> Places:
    # Asked for its weights, it adds a mask that is meant for other attention: of true and false, or with ALiBi in it.
    places = replace(_BLOOM, mlp_out="mlp", tells_attention=False)
    if not (config.new_decoder_architecture or config.parallel_attn):
        return places
    two = config.new_decoder_architecture and config.num_ln_in_parallel_attn != 1
    before = ("ln_attn", "ln_mlp") if two else ("input_layernorm", "input_layernorm")
    return replace(places, head_norm=before[0], mlp_norm=before[1], parallel=True)


def places_of(model: Model) -> Places:
    """Of a model of transformers that Vitro holds."""
    config = model.hf.config
    places = _PLACES[config.model_type]
    return places if isinstance(places, Places) else places(config)


class Layer:
    """The modules of one layer, and what its heads and its MLP make of streams by them."""

    def __init__(self, model: Model, number: int) -> None:
        self.shape, self.places = model.shape, places_of(model)
        self.block = model.hf.get_submodule(self.places.blocks)[number]
        at = self._at
        self.head_norm, self.mlp_norm = at(self.places.head_norm), at(self.places.mlp_norm)
        self.out, self.after_heads = at(self.places.out), at(self.places.after_heads)
        self.mlp, self.after_mlp = at(self.places.mlp), at(self.places.after_mlp)
        self.heads_write = self.after_heads or self.out
        """What this puts out is added to the stream, times `multiplier`; and so is what the next puts out."""
        self.mlp_writes = self.after_mlp or at(self.places.mlp_out)

    def _at(self, name: str | None) -> Any:
        return None if name is None else self.block.get_submodule(name)

    def project(self, name: str, stream: Tensor) -> Tensor:
        """All queries, keys or values as `projected` puts them out, from a stream."""
        read = stream if self.head_norm is None else self.head_norm(stream)
        made: Tensor = self._at(self.places.qkv["qkv".index(name)])(read)
        norm = self._whole_norm(name)
        return made if norm is None else norm(made)

    def projected(self, name: str) -> Any:
        """The last module that sees all of a layer's queries, keys or values together."""
        return self._whole_norm(name) or self._at(self.places.qkv["qkv".index(name)])

    def _whole_norm(self, name: str) -> Any:
        return (
            None if self.places.whole_norms is None or name == "v" else self._at(self.places.whole_norms[name == "k"])
        )

    def part(self, name: str, head: int) -> slice:
        """Where a head's lie among what `projected` puts out."""
        start = self.places.layout(self.shape, name, head)
        return slice(start, start + self.shape.d_head)

    def sharing(self) -> Iterator[range]:
        """Heads that share no keys: one of each group at a time."""
        size = self.shape.n_heads // self.shape.n_kv_heads
        return (range(first, self.shape.n_heads, size) for first in range(size))

    def w_out(self, head: int) -> Tensor:
        """One head's own slice of W_O: [d_head, d_model]."""
        return rows_of(self.out)[head * self.shape.d_head : (head + 1) * self.shape.d_head]

    def value_map(self, head: int) -> tuple[Tensor, Tensor]:
        """W_V and b_V of a head: [d_model, d_head] and [d_head]."""
        module = self._at(self.places.qkv[2])
        weight = rows_of(module)[:, self.part("v", head)]
        bias = weight.new_zeros(self.shape.d_head) if module.bias is None else module.bias[self.part("v", head)]
        return weight, bias

    def heads_out(self, together: Tensor) -> Tensor:
        """What is added to the stream where z W_O of all heads and b_O come to this: [..., d_model], in float64."""
        out = together.double() if self.after_heads is None else normed(self.places, self.after_heads, together)
        return out * self.places.multiplier

    @property
    def b_out(self) -> Tensor:
        """b_O; zeros where there is none."""
        bias: Tensor | None = self.out.bias
        return rows_of(self.out).new_zeros(self.shape.d_model) if bias is None else bias


def rows_of(linear: Any) -> Tensor:
    """The weight of a linear map: [in, out]."""
    weight: Tensor = linear.weight
    return weight if type(linear).__name__ == "Conv1D" else weight.T


def normed(places: Places, module: Any, x: Tensor) -> Tensor:
    """What a norm makes of vectors, from its numbers, in float64."""
    centred = centre(places, x.double())
    return centred / norm_scale(places, module, x) * gain_of(places, module) + shift_of(module)


def norm_scale(places: Places, module: Any, x: Tensor) -> Tensor:
    """What a norm divides by: [..., 1], in float64."""
    eps = places.eps or (module.eps if hasattr(module, "eps") else module.variance_epsilon)
    return (centre(places, x.double()).square().mean(-1, keepdim=True) + eps).sqrt()


def centre(places: Places, x: Tensor) -> Tensor:
    """Without its mean, if norms subtract it."""
    return x - x.mean(-1, keepdim=True) if places.centred else x


def gain_of(places: Places, module: Any) -> Tensor:
    """What a norm multiplies by, in float64."""
    weight: Tensor | None = getattr(module, "weight", None)
    return torch.ones(1).double() if weight is None else weight.double() + places.offset


def shift_of(module: Any) -> Tensor:
    """What a norm adds, in float64."""
    bias: Tensor | None = getattr(module, "bias", None)
    return torch.zeros(1).double() if bias is None else bias.double()
