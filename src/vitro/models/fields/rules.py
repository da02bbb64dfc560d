"""What the fields of a configuration say about each other: heads that divide, experts that there are.

Where transformers reads one of them in one place and another elsewhere, they must agree: it would stop in the middle of
a forward pass, or drop weights.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vitro.models.fields.rope import head_width, turned_width
from vitro.models.fields.values import is_number, refuse, value_of


class Rule(NamedTuple):
    """A statement about a configuration; the field to blame where it does not hold, and what works there."""

    field: str
    holds: Callable[[Any], bool]
    works: str


_EVEN_HEADS = Rule(
    "head_dim",
    lambda config: head_width(config) * config.num_attention_heads == config.hidden_size,
    "hidden_size / num_attention_heads there",
)
_EVEN_TURN = Rule(
    "rope_parameters.partial_rotary_factor",
    lambda config: turned_width(config) % 2 == 0,
    "an even number of rotated dimensions",
)
_TABLE = Rule(
    "rotary_dim",
    lambda config: (
        type(config.rotary_dim) is int
        and config.rotary_dim % 2 == 0
        and 2 <= config.rotary_dim <= config.hidden_size // config.num_attention_heads
    ),
    "even numbers from 2 to the width of a head there",
)
_EXPERTS = Rule(
    "num_experts_per_tok",
    lambda config: config.num_experts_per_tok <= config.num_experts,
    "numbers up to that of the experts there",
)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "gpt_neox": (
        Rule(
            "head_dim",
            lambda config: turned_width(config) <= config.hidden_size // config.num_attention_heads,
            "widths whose rotated part is within hidden_size / num_attention_heads there",
        ),
    ),
    "opt": (
        Rule(
            "word_embed_proj_dim",
            lambda config: config.word_embed_proj_dim == config.hidden_size,
            "models where it is hidden_size, or not there",
        ),
    ),
    "gptj": (_TABLE,),
    "codegen": (_TABLE, Rule("n_head", lambda config: config.n_head % 4 == 0, "multiples of 4 there")),
    "falcon": (
        Rule(
            "parallel_attn",
            lambda config: config.parallel_attn or not config.new_decoder_architecture,
            "True there with new_decoder_architecture",
        ),
        Rule(
            "num_ln_in_parallel_attn",
            lambda config: config.num_ln_in_parallel_attn in (None, 1, 2 if config.new_decoder_architecture else 1),
            "1 there, or with new_decoder_architecture 2",
        ),
        Rule(
            "num_kv_heads",
            lambda config: (
                config.num_attention_heads % config.num_kv_heads == 0
                if config.new_decoder_architecture
                else config.multi_query or config.num_kv_heads == config.num_attention_heads
            ),
            "num_attention_heads there, or with new_decoder_architecture its divisors",
        ),
    ),
    "stablelm": (_EVEN_HEADS, _EVEN_TURN),
    "phi": (
        _EVEN_TURN,
        _EVEN_HEADS._replace(holds=lambda config: not config.qk_layernorm or _EVEN_HEADS.holds(config)),
    ),
    "helium": (_EVEN_HEADS,),
    "olmoe": (_EVEN_HEADS, _EXPERTS),
    "mixtral": (_EXPERTS,),
    "qwen2_moe": (_EXPERTS,),
    "qwen3_moe": (_EXPERTS,),
    "gpt_oss": (_EXPERTS,),
    "ministral3": (
        Rule(
            "rope_parameters.llama_4_scaling_beta",
            lambda config: (beta := config.rope_parameters.get("llama_4_scaling_beta")) == 0 or is_number(beta),
            "numbers from 0 up there",
        ),
        Rule(
            "rope_parameters.original_max_position_embeddings",
            lambda config: is_number(config.rope_parameters.get("original_max_position_embeddings")),
            "numbers above 0 there",
        ),
    ),
}
"""Model type -> what must hold of its configuration."""


def check_rules(name: str, config: Any) -> None:
    """Raises ModelError, by the field to blame, for a configuration whose fields do not go together.

    name: what the user typed.
    """
    for rule in RULES.get(config.model_type, ()):
        if not rule.holds(config):
            refuse(name, rule.field, value_of(config, rule.field), rule.works)


def check_heads(name: str, config: Any, own_width: bool) -> None:
    """Raises ModelError where heads do not divide.

    name: what the user typed. own_width: whether the model type has a field for the width of its heads; if not, they
    are equal parts of the stream.
    """
    n_heads, n_groups = config.num_attention_heads, getattr(config, "num_key_value_heads", None) or 1
    if n_heads % n_groups:
        refuse(name, "num_key_value_heads", n_groups, f"divisors of num_attention_heads ({n_heads}) there")
    if not own_width and config.hidden_size % n_heads:
        own = config.attribute_map
        heads, width = own.get("num_attention_heads", "num_attention_heads"), own.get("hidden_size", "hidden_size")
        refuse(name, heads, n_heads, f"divisors of {width} ({config.hidden_size}) there")
