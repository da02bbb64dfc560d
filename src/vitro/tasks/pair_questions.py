"""A pair task in a tokenizer's tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vitro.tasks.errors import RowError, TaskError
from vitro.tasks.one_token import one_token
from vitro.tasks.pair import Answer, Listed, Pair, Place, Token
from vitro.tasks.pair_rows import PairRows
from vitro.tasks.questions import Questions
from vitro.tasks.tokenizer import Encoding, Tokenizer, encode, readable

# Characters encoded at once: enough to be fast, few enough that a long file needs no more memory than its tokens.
_AT_ONCE = 500_000
_MOST_REASONS = 3
_MOST_SHOWN = 3


@dataclass(frozen=True)
class _Encoded:
    """A row in tokens; positions include BOS."""

    label: str
    group: str
    tokens: tuple[int, ...]
    partner: tuple[int, ...] | None
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    shown: tuple[str, str]
    marks: dict[str, int]
    longer: str
    """An answer of several tokens of which only the first counts; empty where there is none."""


def pair_questions(task: PairRows, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
    """The rows in a tokenizer's tokens, BOS first where it has one; each row is checked alone.

    An answer's tokens are those that continue its prompt; it must not change the tokens before it.
    A mark given in characters is at the last token of its span. `n_ctx` is the longest prompt that the model takes
    (None: any).

    Raises `TaskError`, which names the row and the column, for a counterfactual of another length, an answer of
    several tokens (unless the task takes the first), an answer that is right and wrong, a token that does not match
    its text, a mark beyond the prompt or inside a token, and a prompt longer than `n_ctx`; where the task skips bad
    rows, only if none is left.
    """
    rows = _Rows(task, tokenizer, n_ctx)
    encoded = list(rows)
    if not encoded:
        raise TaskError(f"task {task.name!r}: none of its {len(task.rows)} rows fits: {rows.left_out[0]}")
    return Questions(
        tokens=tuple(row.tokens for row in encoded),
        labels=tuple(row.label for row in encoded),
        right=tuple(row.right for row in encoded),
        wrong=tuple(row.wrong for row in encoded),
        answers=tuple(row.shown[0] for row in encoded),
        others=tuple(row.shown[1] for row in encoded),
        marks={name: tuple(row.marks[name] for row in encoded) for name in rows.marks()},
        partner=None if encoded[0].partner is None else tuple(row.partner or () for row in encoded),
        groups=tuple(row.group for row in encoded) if any(row.group for row in encoded) else (),
        notes=rows.notes(encoded),
    )


class _Rows:
    """The rows of a task that fit, in order; iterated once."""

    def __init__(self, task: PairRows, tokenizer: Tokenizer, n_ctx: int | None) -> None:
        self.task, self.tokenizer, self.n_ctx = task, tokenizer, n_ctx
        self.bos = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
        self.left_out = list(task.left_out)
        listed = sorted(
            {answer.text for row in task.rows for answer in (*row.right, *row.wrong) if isinstance(answer, Listed)}
        )
        self.listed = one_token(tokenizer, listed)
        self.unlisted = [text for text in listed if text not in self.listed]
        # marks that count another tokenizer's tokens; known when all rows are seen
        self.miscounted: int | None = None
        self.first: Pair | None = None

    def __iter__(self) -> Iterator[_Encoded]:
        for start, chunk in _chunks(self.task.rows):
            cleans = encode(self.tokenizer, [row.clean for row in chunk])
            corrupts = iter(encode(self.tokenizer, [row.corrupt for row in chunk if row.corrupt is not None]))
            answers = [list(dict.fromkeys(_continuing(row))) for row in chunk]
            joined = [row.clean + text for row, texts in zip(chunk, answers, strict=True) for text in texts]
            encodings = iter(encode(self.tokenizer, joined))
            for i, (row, clean, texts) in enumerate(zip(chunk, cleans, answers, strict=True), start + 1):
                corrupt = next(corrupts) if row.corrupt is not None else None
                continued = {text: next(encodings) for text in texts}
                try:
                    fitting = _Row(self, row, row.number or i, clean, continued).encoded(corrupt)
                except RowError as error:
                    if self.task.bad_rows == "refuse":
                        raise
                    self.left_out.append(str(error).removeprefix(f"task {self.task.name!r}: "))
                    continue
                self.first = self.first or row
                yield fitting

    def marks(self) -> list[str]:
        """The names of the marks that can be placed."""
        assert self.first is not None
        places = self.first.marks.items()
        return [name for name, place in places if self.miscounted is None or not isinstance(place, int)]

    def notes(self, encoded: Sequence[_Encoded]) -> tuple[str, ...]:
        """Sentences on what was left out."""
        notes = []
        if self.left_out:
            reasons = "; ".join(self.left_out[:_MOST_REASONS])
            more = f"; and {len(self.left_out) - _MOST_REASONS} more" if len(self.left_out) > _MOST_REASONS else ""
            notes.append(
                f"{len(self.left_out)} of {len(self.left_out) + len(encoded)} rows are left out: {reasons}{more}"
            )
        if longer := [row for row in encoded if row.longer]:
            notes.append(
                f"of answers of several tokens the first is asked, in {len(longer)} of {len(encoded)} rows: "
                f"{longer[0].longer}{' and others' if len(longer) > 1 else ''}"
            )
        if self.unlisted:
            texts = ", ".join(repr(text) for text in self.unlisted[:_MOST_REASONS])
            notes.append(
                f"{len(self.unlisted)} of {len(self.unlisted) + len(self.listed)} listed answers are not one token "
                f"here and are left out: {texts}{', ...' if len(self.unlisted) > _MOST_REASONS else ''}"
            )
        if self.miscounted is not None:
            notes.append(
                f"its marks are left out: they count the tokens of another tokenizer, {self.task.counted} in a prompt "
                f"where this one has {self.miscounted}"
            )
        return tuple(notes)


class _Row:
    """A row being encoded."""

    def __init__(
        self, rows: _Rows, pair: Pair, number: int, clean: Encoding, continued: Mapping[str, Encoding]
    ) -> None:
        self.rows, self.pair, self.clean, self.continued = rows, pair, clean, continued
        answer = _shown(rows.tokenizer, pair.right) if pair.right else ""
        # labels appear on axes and in errors, which have a single line
        self.label = " ".join((pair.label or f"{number}: {pair.shown[0] or answer}").split())
        self.number = number
        self.longer = ""

    def encoded(self, corrupt: Encoding | None) -> _Encoded:
        rows, pair = self.rows, self.pair
        length = len(rows.bos) + len(self.clean.ids)
        if not self.clean.ids:
            raise self._error("clean", "the prompt is empty")
        if rows.n_ctx is not None and length > rows.n_ctx:
            raise self._error("clean", f"the prompt is {length} tokens and the model takes {rows.n_ctx}")
        if rows.first is not None and (rows.first.corrupt is None) != (corrupt is None):
            raise self._error(
                "corrupt", "some rows have a counterfactual and some have none; give it to all or to none"
            )
        if corrupt is not None and len(corrupt.ids) != len(self.clean.ids):
            raise self._error(
                "corrupt",
                f"the prompt is {len(self.clean.ids)} tokens and its counterfactual {len(corrupt.ids)}; "
                "they must be of one length, so that positions correspond",
            )
        right, wrong = self._ids("right", pair.right), self._ids("wrong", pair.wrong)
        if common := set(right) & set(wrong):
            longer = f", the first token of {self.longer}" if self.longer else ""
            raise self._error(
                "wrong",
                f"{self._quoted(min(common))} is right and wrong at once{longer}; an answer can be only one of them",
            )
        return _Encoded(
            label=self.label,
            group=pair.group,
            tokens=rows.bos + self.clean.ids,
            partner=None if corrupt is None else rows.bos + corrupt.ids,
            right=right,
            wrong=wrong,
            shown=(
                pair.shown[0] or _shown(rows.tokenizer, pair.right),
                pair.shown[1] or _shown(rows.tokenizer, pair.wrong),
            ),
            marks=self._marks(),
            longer=self.longer,
        )

    def _ids(self, column: str, answers: Sequence[Answer]) -> tuple[int, ...]:
        if not answers:
            raise self._error(column, "there is no answer")
        ids = [self._id(column, answer) for answer in answers]
        tokens = tuple(dict.fromkeys(token for token in ids if token is not None))
        if not tokens:
            listed = ", ".join(repr(_written(self.rows.tokenizer, answer)) for answer in answers[:_MOST_SHOWN])
            raise self._error(column, f"none of its answers is one token here ({listed}, ...); use another model")
        return tokens

    def _id(self, column: str, answer: Answer) -> int | None:
        if isinstance(answer, Listed):
            return self.rows.listed.get(answer.text)
        given = answer.id if isinstance(answer, Token) else answer if isinstance(answer, int) else None
        if given is not None and not _is_token(self.rows.tokenizer, given):
            raise self._error(column, f"this tokenizer has no token {given}; the ids are another tokenizer's")
        text = _continues(answer)
        if text is None:
            return given
        ids = self._continuation(column, text)
        if given is not None and given != ids[0]:
            raise self._error(
                column,
                f"token {given} is {self._quoted(given)} here and {text!r} begins with {self._quoted(ids[0])} "
                f"({ids[0]}); the ids are another tokenizer's",
            )
        if ids[0] == self.rows.tokenizer.unk_token_id:
            raise self._error(column, f"this tokenizer does not know {text!r}; try other words or another model")
        if len(ids) > 1:
            pieces = ", ".join(map(self._quoted, ids))
            if given is None and self.rows.task.answer_tokens == "whole":
                raise self._error(
                    column,
                    f"{text!r} is {len(ids)} tokens here ({pieces}) and must be one; "
                    "--first-token (answer_tokens) asks for the first of them, --skip-bad-rows (bad_rows) leaves "
                    "such rows out",
                )
            self.longer = self.longer or f"{text!r} ({pieces})"
        return ids[0]

    def _continuation(self, column: str, text: str) -> tuple[int, ...]:
        prompt, whole = self.clean.ids, self.continued[text].ids
        if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
            raise self._error(
                column, f"{text!r} changes the tokens of the prompt before it; end the prompt at a whole word"
            )
        return whole[len(prompt) :]

    def _marks(self) -> dict[str, int]:
        first = self.rows.first
        if first is not None and self.pair.marks.keys() != first.marks.keys():
            names = [", ".join(sorted(map(repr, marks))) or "none" for marks in (self.pair.marks, first.marks)]
            raise self._error("marks", f"its marks are {names[0]}, and those of the first row {names[1]}")
        counted = self.rows.task.counted
        if counted is not None and counted != len(self.clean.ids):
            self.rows.miscounted = len(self.clean.ids)
        return {
            name: len(self.rows.bos) + self._position(name, place)
            for name, place in self.pair.marks.items()
            if self.rows.miscounted is None or not isinstance(place, int)
        }

    def _position(self, name: str, place: Place) -> int:
        text, n = self.pair.clean, len(self.clean.ids)
        if isinstance(place, int):
            if not 0 <= place < n:
                raise self._error("marks", f"mark {name!r} is token {place}, and the prompt has {n}, from 0 to {n - 1}")
            return place
        start, end = place
        if not 0 <= start < end <= len(text):
            raise self._error("marks", f"mark {name!r} is characters {start} to {end}, and the prompt has {len(text)}")
        inside = [i for i, (first, last) in enumerate(self.clean.spans) if first < end and last > start]
        if not inside:
            raise self._error("marks", f"mark {name!r} is {text[start:end]!r}, which no token stands for")
        begins = self.clean.spans[inside[0]][0]
        if text[begins:start].strip():
            token = self._quoted(self.clean.ids[inside[0]])
            raise self._error("marks", f"mark {name!r} is {text[start:end]!r}, which begins inside the token {token}")
        return inside[-1]

    def _quoted(self, token: int) -> str:
        return repr(readable(self.rows.tokenizer, token))

    def _error(self, column: str, why: str) -> RowError:
        column_name = self.rows.task.columns.get(column, column)
        label = self.label.removeprefix(f"{self.number}: ")
        return RowError(f"task {self.rows.task.name!r}: row {self.number} ({label}), column {column_name!r}: {why}")


def characters_asked(row: Pair) -> int:
    """The characters of a row that are cut into tokens: the prompt once by itself and once for each of its answers.

    >>> characters_asked(vitro.tasks.Pair("It is", (" Monday",), (" June",)))
    27
    """
    corrupt = len(row.corrupt or "")
    return len(row.clean) + corrupt + sum(len(row.clean) + len(text) for text in set(_continuing(row)))


def _chunks(rows: Sequence[Pair]) -> Iterator[tuple[int, Sequence[Pair]]]:
    """Consecutive rows that are encoded at once, and the number of the first."""
    start = characters = 0
    for end, row in enumerate(rows, 1):
        characters += characters_asked(row)
        if characters > _AT_ONCE or end == len(rows):
            yield start, rows[start:end]
            start, characters = end, 0


def _continues(answer: Answer) -> str | None:
    """The text that must continue the prompt; None where there is none to check."""
    if isinstance(answer, str):
        return answer
    return answer.text if isinstance(answer, Token) else None


def _continuing(row: Pair) -> Iterator[str]:
    """The texts that must continue the row's prompt."""
    texts = map(_continues, (*row.right, *row.wrong))
    return (text for text in texts if text is not None)


def _is_token(tokenizer: Tokenizer, token: int) -> bool:
    # tokenizers fail on numbers that their 32 bits cannot hold
    return 0 <= token < 2**31 and tokenizer.convert_ids_to_tokens([token])[0] is not None


def _written(tokenizer: Tokenizer, answer: Answer) -> str:
    if isinstance(answer, int):
        return readable(tokenizer, answer) if _is_token(tokenizer, answer) else f"[{answer}]"
    return answer if isinstance(answer, str) else answer.text


def _shown(tokenizer: Tokenizer, answers: Sequence[Answer]) -> str:
    texts = [_written(tokenizer, answer) for answer in answers[:_MOST_SHOWN]]
    more = f" and {len(answers) - _MOST_SHOWN} more" if len(answers) > _MOST_SHOWN else ""
    return ", ".join(text.strip() or repr(text) for text in texts) + more
