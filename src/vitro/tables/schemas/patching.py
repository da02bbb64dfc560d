"""The table of activation patching."""

from vitro.tables.columns import CHANGE_COLUMNS, KL, LAYER, POSITION, PROMPT
from vitro.tables.schema import Schema, text, whole

SCHEMAS = (
    Schema(
        "patching",
        "each prompt and activation that is set to its counterfactual's",
        "patching",
        (
            PROMPT,
            text("site", "resid_pre, resid_mid, resid_post, attn_out, mlp_out, z or pattern"),
            LAYER,
            whole("head", "the head, for z and pattern", nullable=True),
            POSITION,
            text("mark", "the mark that names the position, where one does", nullable=True),
            *CHANGE_COLUMNS,
            KL,
        ),
        "study --also patching",
    ),
)
