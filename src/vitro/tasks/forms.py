"""The forms in which the field stores its prompts, each recognised by its columns."""

import ast
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from vitro.files import FileError, json_of
from vitro.tasks.agreement import VERBS_OF
from vitro.tasks.errors import RowError, TaskError
from vitro.tasks.greater_than import year_pair
from vitro.tasks.pair import Answer, Pair, Place, Token

Row = Mapping[str, Any]

_COUNTERFACTUAL = "_counterfactual"
# The counterfactuals that MIB uses for its tasks (ioi; mcqa and arc; arithmetic): the first that a row has.
_MIB_DEFAULTS = ("s2_io_flip_counterfactual", "symbol_counterfactual", "random_counterfactual")
# Written by pandas for a row's number, and not needed here.
_INDEX_COLUMNS = frozenset({"", "Unnamed: 0", "index"})


@dataclass(frozen=True)
class Form:
    """A kind of file: the columns it must have and may have, and the `Pair` that a row is.

    `pair` takes a row and the name of its counterfactual's column. `counterfactuals` are the columns that can be that,
    the default first; MIB's end in `_counterfactual`. `columns` says what the file calls the parts of a `Pair`.
    """

    called: str
    needs: frozenset[str]
    pair: Callable[[Row, str], Pair]
    may: frozenset[str] = frozenset()
    counterfactuals: tuple[str, ...] = ("corrupted",)
    columns: Mapping[str, str] = field(default_factory=dict)
    open_ended: bool = False

    def unknown(self, columns: Sequence[str]) -> list[str]:
        """The columns that have no meaning here."""
        known = self.needs | self.may | _INDEX_COLUMNS
        return [] if self.open_ended else [column for column in columns if column not in known]


def recognised(columns: Sequence[str]) -> Form:
    """The form that has these columns. Raises `TaskError` where none or several do, with the forms there are."""
    fitting = [form for form in FORMS if form.needs <= set(columns)]
    # a form whose columns all belong to another fitting form as well is not meant
    meant = [
        form for form in fitting if not any(form.needs < other.needs | other.may for other in fitting if other != form)
    ]
    listed = ", ".join(column for column in columns if column) or "none"
    if not meant:
        raise TaskError(f"its columns are {listed}; what would do: {_what_would_do()}")
    if len(meant) > 1:
        forms = " and ".join(form.called for form in meant)
        raise TaskError(f"its columns are {listed}, of {forms} at once; keep those of one form")
    (form,) = meant
    if unknown := form.unknown(columns):
        close = difflib.get_close_matches(unknown[0], form.needs | form.may, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise TaskError(
            f"column {unknown[0]!r} is unknown{hint} Its columns are {listed}; {form.called} has {_columns(form)}; "
            f"what else would do: {_what_would_do(form)}"
        )
    return form


def counterfactual_column(form: Form, columns: Sequence[str], chosen: str | None) -> str:
    """The column of the counterfactual prompts: the chosen column, or the form's default; "" where there is none.

    Raises `TaskError` where the file does not have the chosen column, or has no default of the form.
    """
    if form.open_ended:
        present = [column for column in columns if column.endswith(_COUNTERFACTUAL)]
        defaults = [column for column in form.counterfactuals if column in present]
    else:
        present = defaults = [column for column in form.counterfactuals if column in columns]
    listed = ", ".join(present) or "none"
    if chosen is not None and chosen not in present:
        raise TaskError(f"there is no counterfactual {chosen!r}; the file has {listed}")
    if chosen is None and not defaults and form.open_ended:
        raise TaskError(f"which counterfactual is meant is not known; the file has {listed}, one of which can be named")
    return chosen or (defaults[0] if defaults else "")


def _columns(form: Form) -> str:
    more = [*sorted(form.may), *(f"... and any {_COUNTERFACTUAL[1:]}" for _ in range(form.open_ended))]
    needs = ", ".join(sorted(form.needs))
    return f"{needs} and may have {', '.join(more)}" if more else needs


def _what_would_do(without: Form | None = None) -> str:
    return "; ".join(f"{', '.join(sorted(form.needs))} ({form.called})" for form in FORMS if form != without)


# The cells of a row.


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise RowError(f"column {column!r}: {_said(value)}; it must be a text")
    return value


def _said(value: object) -> str:
    return "it is empty" if value in (None, "") else f"it is {value!r}"


def _whole_number(value: object, column: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value).strip()):
        raise RowError(f"column {column!r}: {_said(value)}; it must be a whole number from 0")
    return int(str(value))


def _optional(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value)


def _as_list(value: object) -> list[object]:
    """A list as it is or as Python and JSON write it; a list of anything else; an empty list for an empty cell."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        # "[MASK]" is a text like any other
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _answers(row: Row, texts: str, ids: str, space: str = "") -> tuple[Answer, ...]:
    """The answers of a column of texts and a column of ids, either of which may be missing."""
    words = [f"{space}{word}" if isinstance(word, str) else word for word in _as_list(row.get(texts))]
    for word in words:
        if not isinstance(word, str) or not word:
            raise RowError(f"column {texts!r}: {_said(word)}; an answer is a text, its leading space included")
    tokens = [_whole_number(token, ids) for token in _as_list(row.get(ids))]
    if words and tokens and len(words) != len(tokens):
        raise RowError(f"columns {texts!r} and {ids!r} hold {len(words)} texts and {len(tokens)} ids; give one for one")
    if not words and not tokens:
        raise RowError(f"column {texts if ids not in row else ids!r}: there is no answer")
    if words and tokens:
        return tuple(Token(token, str(word)) for token, word in zip(tokens, words, strict=True))
    return tuple(tokens) if tokens else tuple(map(str, words))


def _marks(row: Row, clean: str) -> dict[str, Place]:
    marks = row.get("marks")
    if isinstance(marks, str) and marks:
        try:
            marks = json_of(marks)
        except FileError as error:
            raise RowError(f"column 'marks': {error}") from None
    if marks in (None, ""):
        return {}
    if not isinstance(marks, Mapping):
        raise RowError(f'column \'marks\': it is {marks!r}; it must be names with places, such as {{"IO": "Mary"}}')
    return {str(name): _place(str(name), place, clean) for name, place in marks.items()}


def _place(name: str, place: object, clean: str) -> Place:
    if isinstance(place, str) and place:
        starts = [match.start() for match in re.finditer(re.escape(place), clean)]
        if len(starts) != 1:
            raise RowError(
                f"column 'marks': mark {name!r} is {place!r}, which stands {len(starts)} times in the prompt; "
                "give its first character and the one after its last, such as [5, 9]"
            )
        return starts[0], starts[0] + len(place)
    if isinstance(place, Sequence) and not isinstance(place, str) and len(place) == 2:
        return _whole_number(place[0], "marks"), _whole_number(place[1], "marks")
    return _whole_number(place, "marks")


def _name_marks(clean: str, subject: str, other: str) -> dict[str, Place]:
    """IO, S1 and S2, where the other name occurs once and the subject twice."""
    io, s = ([match.span() for match in re.finditer(rf"\b{re.escape(name)}\b", clean)] for name in (other, subject))
    return {"IO": io[0], "S1": s[0], "S2": s[1]} if (len(io), len(s)) == (1, 2) else {}


# The forms.


def _own(row: Row, counterfactual: str) -> Pair:
    clean = _text(row, "clean")
    right, wrong = (_answers(row, name, f"{name}_id") for name in ("right", "wrong"))
    for name, answers in (("right", right), ("wrong", wrong)):
        for text in answers:
            if isinstance(text, str) and re.match(r"\w", text) and re.search(r"[^\W\d]$|[,.;!?]$", clean):
                raise RowError(
                    f"column {name!r}: {text!r} would be glued to {clean[-12:]!r}; write {' ' + text!r}, with its space"
                )
    return Pair(
        clean,
        right,
        wrong,
        _optional(row, counterfactual) or None,
        label=_optional(row, "label"),
        group=_optional(row, "group"),
        marks=_marks(row, clean),
    )


def _auto_circuit(row: Row, counterfactual: str) -> Pair:
    clean = _text(row, "clean")
    right, wrong = (_answers(row, name, f"{name}_idx") for name in ("answers", "wrong_answers"))
    return Pair(clean, right, wrong, _text(row, counterfactual), marks=_marks(row, clean))


def _eap_ioi(row: Row, counterfactual: str) -> Pair:
    clean = _text(row, "clean")
    right, wrong = (_whole_number(row[column], column) for column in ("correct_idx", "incorrect_idx"))
    subject = _replaced(clean, _optional(row, "corrupted"))
    # corrupted_hard has the other name in place of the second subject
    other = _replaced(_optional(row, "corrupted_hard"), clean)
    return Pair(
        clean,
        (Token(right, f" {other}") if other else right,),
        (Token(wrong, f" {subject}") if subject else wrong,),
        _text(row, counterfactual),
        marks=_name_marks(clean, subject, other) if subject and other else {},
    )


def _replaced(text: str, by: str) -> str:
    """The only word of a text that differs in the other text; "" where not exactly one does."""
    words, others = (re.findall(r"\w+", side) for side in (text, by))
    differing = [word for word, other in zip(words, others, strict=False) if word != other]
    return differing[0] if len(words) == len(others) and len(differing) == 1 else ""


def _eap_years(column: str) -> Callable[[Row, str], Pair]:
    def pair(row: Row, counterfactual: str) -> Pair:
        try:
            return year_pair(_text(row, "clean"), _text(row, counterfactual), _whole_number(row[column], column))
        except RowError as error:
            raise RowError(f"column {column!r}: {str(error).removeprefix(f'column {column!r}: ')}") from None

    return pair


def _eap_gender(row: Row, counterfactual: str) -> Pair:
    columns = "clean_answer_idx", "corrupted_answer_idx"
    ids = [_whole_number(row[column], column) for column in columns]
    # the label says which pronoun is the clean prompt's, and so what the ids must be
    words = {"0": (" she", " he"), "1": (" he", " she")}.get(_optional(row, "label"))
    right, wrong = map(Token, ids, words) if words else ids
    return Pair(_text(row, "clean"), (right,), (wrong,), _text(row, counterfactual))


def _eap_texts(right: str, wrong: str) -> Callable[[Row, str], Pair]:
    def pair(row: Row, counterfactual: str) -> Pair:
        good, bad = (_answers(row, name, f"{name}_idx", space=" ") for name in (right, wrong))
        return Pair(_text(row, "clean"), good, bad, _text(row, counterfactual))

    return pair


def _eap_agreement(row: Row, counterfactual: str) -> Pair:
    plural = _whole_number(row["plural"], "plural")
    if plural not in (0, 1):
        raise RowError(f"column 'plural': it is {plural}; it must be 0 (one) or 1 (many)")
    group = _optional(row, "group")
    return Pair(_text(row, "clean"), VERBS_OF[plural], VERBS_OF[1 - plural], _text(row, counterfactual), group=group)


def _mib_choices(row: Row, counterfactual: str) -> Pair:
    prompt, corrupt = _text(row, "prompt"), _mib_counterfactual(row, counterfactual)
    metadata = row.get("metadata") if isinstance(row.get("metadata"), Mapping) else {}
    names = [metadata.get(name) for name in ("indirect_object", "subject")] if isinstance(metadata, Mapping) else []
    group = _optional(row, "template")
    if all(isinstance(name, str) and name for name in names) and names:
        other, subject = map(str, names)
        marks = _name_marks(prompt, subject, other)
        return Pair(prompt, (f" {other}",), (f" {subject}",), _text(corrupt, "prompt"), group=group, marks=marks)
    right, wrong = _mib_choice(row), _mib_choice(corrupt)
    return Pair(prompt, (right,), (wrong,), _text(corrupt, "prompt"), group=group)


def _mib_choice(row: Row) -> str:
    """The choice that the key points to; its label where the choices have labels."""
    choices, key = row.get("choices"), row.get("answerKey")
    labels = choices.get("label") if isinstance(choices, Mapping) else choices
    if not isinstance(labels, Sequence) or isinstance(labels, str):
        raise RowError(f"column 'choices': {_said(choices)}; it must be a list, or hold a list 'label'")
    if isinstance(key, str) and key in labels:
        return key
    number = _whole_number(key, "answerKey")
    if number >= len(labels):
        raise RowError(f"column 'answerKey': it is {number}, of {len(labels)} choices counted from 0")
    return str(labels[number])


def _mib_arithmetic(row: Row, counterfactual: str) -> Pair:
    corrupt = _mib_counterfactual(row, counterfactual)
    right, wrong = (str(side.get("label", "")) for side in (row, corrupt))
    if not right or not wrong:
        raise RowError("column 'label': it is empty")
    return Pair(_text(row, "prompt"), (right,), (wrong,), _text(corrupt, "prompt"))


def _mib_counterfactual(row: Row, counterfactual: str) -> Row:
    corrupt = row.get(counterfactual)
    if not isinstance(corrupt, Mapping):
        raise RowError(f"column {counterfactual!r}: {_said(corrupt)}; it must hold a prompt")
    return corrupt


def _form(called: str, needs: str, pair: Callable[[Row, str], Pair], may: str = "", **more: Any) -> Form:
    return Form(called, frozenset(needs.split()), pair, frozenset(may.split()), **more)


FORMS = (
    _form(
        "Vitro's own form, with right and wrong, or right_id and wrong_id", "clean", _own,
        "corrupt right right_id wrong wrong_id label group marks",
        counterfactuals=("corrupt",),
    ),
    _form(
        "AutoCircuit's JSON", "clean corrupt answers wrong_answers", _auto_circuit, "marks",
        counterfactuals=("corrupt",),
        columns={"right": "answers", "wrong": "wrong_answers", "marks": "word_idxs"},
    ),
    _form(
        "EAP-IG's ioi", "clean corrupted correct_idx incorrect_idx", _eap_ioi, "corrupted_hard",
        counterfactuals=("corrupted", "corrupted_hard"), columns={"right": "correct_idx", "wrong": "incorrect_idx"},
    ),
    _form(
        "EAP-IG's greater-than", "clean corrupted correct_idx", _eap_years("correct_idx"),
        columns={"right": "correct_idx", "wrong": "correct_idx", "marks": "clean"},
    ),
    _form(
        "EAP-IG's greater-than with labels", "clean corrupted label", _eap_years("label"),
        columns={"right": "label", "wrong": "label", "marks": "clean"},
    ),
    _form(
        "EAP-IG's gender-bias", "clean corrupted clean_answer_idx corrupted_answer_idx", _eap_gender, "label",
        columns={"right": "clean_answer_idx", "wrong": "corrupted_answer_idx"},
    ),
    _form(
        "EAP-IG's fact-retrieval", "clean corrupted country_idx corrupted_country_idx",
        _eap_texts("country", "corrupted_country"), "capital country corrupted_capital corrupted_country",
        columns={"right": "country_idx", "wrong": "corrupted_country_idx"},
    ),
    _form(
        "EAP-IG's hypernymy", "clean corrupted answers_idx corrupted_answers_idx",
        _eap_texts("answers", "corrupted_answers"),
        "h1 hypernym answers c1 corrupted_hypernym corrupted_answers clean2 corrupted2 prob_diff",
        columns={"right": "answers_idx", "wrong": "corrupted_answers_idx"},
    ),
    _form(
        "EAP-IG's sva", "clean corrupted plural", _eap_agreement, "group",
        columns={"right": "plural", "wrong": "plural"},
    ),
    _form(
        "MIB's rows", "prompt choices answerKey", _mib_choices, "metadata template", counterfactuals=_MIB_DEFAULTS,
        columns={"clean": "prompt", "right": "answerKey", "wrong": "answerKey"}, open_ended=True,
    ),
    _form(
        "MIB's arithmetic", "prompt label operator", _mib_arithmetic, counterfactuals=_MIB_DEFAULTS,
        columns={"clean": "prompt", "right": "label", "wrong": "label"}, open_ended=True,
    ),
)  # fmt: skip
