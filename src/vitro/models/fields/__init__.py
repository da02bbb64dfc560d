"""What a configuration may say: every field is used, without effect, or refused."""

from vitro.models.fields.check import check_fields, check_only
from vitro.models.fields.lists import IGNORED, ONLY, REFUSED, UNREAD, USED, WITHOUT_EFFECT

__all__ = [
    "IGNORED",
    "ONLY",
    "REFUSED",
    "UNREAD",
    "USED",
    "WITHOUT_EFFECT",
    "check_fields",
    "check_only",
]
