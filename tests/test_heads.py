"""Heads: what is printed is read back, and a head is the pair of its numbers."""

import pytest

from vitro.heads import Head, HeadError


@pytest.mark.parametrize("text", ["9.1", "a9.h1", " 9.1 "])
def test_a_head_is_read_as_it_is_written_anywhere(text: str) -> None:
    head = Head.parse(text)
    assert head == (9, 1)
    assert str(head) == f"{head}" == "a9.h1"
    assert Head.parse(str(head)) == head


@pytest.mark.parametrize("text", ["", "9", "9.", "9,1", "a9.1.2", "-1.0", "m9", "9.1x", "٣.1"])
def test_what_names_no_head_is_refused(text: str) -> None:
    with pytest.raises(HeadError, match=r"9\.1 or a9\.h1"):
        Head.parse(text)
