"""Agreement of subject and verb across the words between them."""

import re

from vitro.tasks.one_token import drawn_pairs, one_token
from vitro.tasks.pair import Listed, Pair
from vitro.tasks.tokenizer import Tokenizer

VERBS: tuple[tuple[str, str], ...] = tuple(
    re.findall(
        r"(\w+)/(\w+)",
        """
    is/are was/were has/have does/do goes/go says/say makes/make takes/take gets/get gives/give seems/seem looks/look
    wants/want needs/need likes/like loves/love knows/know thinks/think works/work plays/play lives/live moves/move
    stands/stand falls/fall grows/grow holds/hold keeps/keep tells/tell shows/show feels/feel brings/bring begins/begin
    believes/believe finds/find follows/follow happens/happen helps/help hopes/hope involves/involve leaves/leave
    means/mean offers/offer opens/open provides/provide remains/remain requires/require returns/return sees/see
    serves/serve sits/sit speaks/speak starts/start stays/stay stops/stop talks/talk tends/tend tries/try turns/turn
    uses/use walks/walk writes/write appears/appear becomes/become comes/come contains/contain continues/continue
    """,
    )
)
"""Verbs of the present tense (and was, were): singular and plural."""

NOUNS: tuple[tuple[str, str], ...] = tuple(
    re.findall(
        r"(\w+)/(\w+)",
        """
    boy/boys girl/girls teacher/teachers student/students doctor/doctors farmer/farmers pilot/pilots author/authors
    lawyer/lawyers writer/writers singer/singers player/players officer/officers manager/managers driver/drivers
    dog/dogs cat/cats horse/horses bird/birds car/cars book/books picture/pictures table/tables tree/trees key/keys
    movie/movies song/songs game/games letter/letters machine/machines house/houses door/doors window/windows
    """,
    )
)
OTHERS: tuple[tuple[str, str], ...] = tuple(
    re.findall(
        r"(\w+)/(\w+)",
        """
    king/kings soldier/soldiers artist/artists friend/friends woman/women man/men judge/judges guard/guards
    nurse/nurses actor/actors child/children guest/guests
    """,
    )
)
"""Nouns between subject and verb, with which the verb must not agree."""
TEMPLATES = {
    "near": "The {noun} near the {other}",
    "behind": "The {noun} behind the {other}",
    "saw": "The {noun} that the {other} saw",
    "next to": "The {noun} next to the {other}",
}


VERBS_OF = tuple(tuple(Listed(f" {pair[number]}") for pair in VERBS) for number in (0, 1))
"""The verbs as answers: singular at 0, plural at 1."""


def verbs_of_its_number(tokenizer: Tokenizer, n: int, seed: int) -> tuple[Pair, ...]:
    """Rows such as `The keys near the king`: right are the verbs of the first noun's number, wrong those of the other.

    The counterfactual has the first noun in its other number; the noun between is unchanged.
    """
    nouns, others = (_of_one_token(tokenizer, pairs) for pairs in (NOUNS, OTHERS))
    heads = [(pair, number) for pair in nouns for number in (0, 1)]
    tails = [(template, other) for template in TEMPLATES for pair in others for other in pair]
    rows = []
    for i, ((noun, number), (template, other)) in enumerate(drawn_pairs(heads, tails, n, seed, "agreement"), 1):
        clean, corrupt = (
            TEMPLATES[template].format(noun=word, other=other) for word in (noun[number], noun[1 - number])
        )
        start = len("The ")
        rows.append(
            Pair(
                clean,
                VERBS_OF[number],
                VERBS_OF[1 - number],
                corrupt,
                label=f"{i}: {noun[number]}, {other}",
                group=template,
                marks={"noun": (start, start + len(noun[number]))},
            )
        )
    return tuple(rows)


def _of_one_token(tokenizer: Tokenizer, pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The pairs whose words are both a single token."""
    fit = one_token(tokenizer, [f" {word}" for pair in pairs for word in pair])
    return [pair for pair in pairs if all(f" {word}" in fit for word in pair)]
