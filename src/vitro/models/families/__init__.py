"""The families that are read, each a file: where things are in a checkpoint, and what is special."""

from collections.abc import Mapping

from vitro.models.families.bloom import MPT, Bloom, Falcon
from vitro.models.families.cohere import Cohere, Cohere2
from vitro.models.families.exaone4 import Exaone4
from vitro.models.families.gemma import Gemma, Gemma2, Gemma3
from vitro.models.families.glm import Glm, Glm4
from vitro.models.families.gpt2 import GPT2
from vitro.models.families.gpt_neo import OPT, GPTBigCode, GPTNeo
from vitro.models.families.gpt_oss import GptOss
from vitro.models.families.gptj import GPTJ, CodeGen, Phi
from vitro.models.families.granite import Granite
from vitro.models.families.llama import Llama
from vitro.models.families.mistral import Ministral, Ministral3, Mistral, Mixtral
from vitro.models.families.neox import GPTNeoX
from vitro.models.families.olmo import Olmo, Olmo2, Olmo3, Olmoe
from vitro.models.families.phi3 import Phi3
from vitro.models.families.qwen import Qwen2, Qwen2Moe, Qwen3, Qwen3Moe
from vitro.models.families.smollm3 import SmolLM3
from vitro.models.families.stablelm import StableLM
from vitro.models.families.ungated import Apertus, Arcee, Nemotron, Starcoder2
from vitro.models.model import Model

FAMILIES: tuple[type[Model], ...] = (
    GPT2,
    GPTNeo,
    GPTBigCode,
    OPT,
    Llama,
    Mistral,
    Ministral,
    Ministral3,
    Mixtral,
    Qwen2,
    Qwen3,
    Qwen2Moe,
    Qwen3Moe,
    Gemma,
    Gemma2,
    Gemma3,
    Olmo,
    Olmo2,
    Olmo3,
    Olmoe,
    Cohere,
    Cohere2,
    Glm,
    Glm4,
    Phi3,
    Granite,
    SmolLM3,
    Exaone4,
    Starcoder2,
    Arcee,
    Nemotron,
    Apertus,
    StableLM,
    GptOss,
    GPTNeoX,
    GPTJ,
    CodeGen,
    Phi,
    Bloom,
    MPT,
    Falcon,
)

FAMILY_OF: Mapping[str, type[Model]] = {kind: family for family in FAMILIES for kind in family.model_types}
"""Model type -> the family that reads it."""
