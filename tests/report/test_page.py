import json
import re
from html import unescape
from html.parser import HTMLParser

import polars as pl
import pytest

from figures.ablation_tables import DAYS_SAID, HOSTILE, clean, head_ablation, mlp_ablation, questions
from report.sample import PAGE, section
from vitro.figures import Figure, clean_answers, head_effects, mlp_effects, to_spec
from vitro.report import Page, Sentence, render


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text inside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.cdata_elem == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)


def test_the_same_page_gives_the_same_bytes() -> None:
    assert render(PAGE) == render(PAGE)


def test_the_drawing_library_is_there_once_for_all_figures() -> None:
    kinds = [kind for kind, _ in Elements(render(PAGE)).scripts]
    assert kinds.count("application/json") == 3
    assert kinds.count(None) == 2
    assert render(PAGE).count("window.vegaEmbed=") == 1


def test_the_page_asks_nothing_of_the_network() -> None:
    attributes = [attrs for _, attrs in Elements(render(PAGE)).elements]
    targets = [attrs[name] or "" for attrs in attributes for name in ("src", "href", "srcset", "data") if name in attrs]
    assert all(target.startswith(("#", "data:", "figures/")) for target in targets)


def test_the_policy_forbids_the_network_and_every_script_but_its_own() -> None:
    (policy,) = [attrs["content"] or "" for _, attrs in Elements(render(PAGE)).elements if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_hostile_tokens_reach_neither_markup_nor_scripts() -> None:
    elements = Elements(render(PAGE))
    assert [tag for tag, _ in elements.elements].count("script") == 5
    assert not [tag for tag, _ in elements.elements if tag == "b"]


def test_each_figure_survives_its_way_into_the_page() -> None:
    specs = [json.loads(text) for kind, text in Elements(render(PAGE)).scripts if kind == "application/json"]
    figures: list[Figure] = [
        clean_answers(clean(HOSTILE), questions(HOSTILE), DAYS_SAID),
        head_effects(head_ablation()),
        mlp_effects(mlp_ablation()),
    ]
    titles = []
    for spec, whole in zip(specs, map(to_spec, figures), strict=True):
        titles.append(whole.pop("title"))
        assert spec == whole
    words = unescape(re.sub("<[^>]+>", "", render(PAGE)))
    for title in titles:
        assert f"{title['text']} {' '.join(title['subtitle'])}" in words


def test_a_specification_is_as_good_as_a_chart() -> None:
    chart = clean_answers(clean([" a", " b"]), questions([" a", " b"]), DAYS_SAID)
    as_chart, as_spec = (
        Page("t", [], [], [section("a", {"f": figure}, pl.DataFrame())]) for figure in (chart, to_spec(chart))
    )
    assert render(as_chart) == render(as_spec)


def test_title_facts_reading_and_commands_are_printed_and_escaped() -> None:
    sections = [section("s", {}, pl.DataFrame())]
    page = Page("a < b", [Sentence("x & y")], [("seed", "<0>")], sections, command="vitro 'a & b'", python="a < b()")
    html = render(page)
    for words in (
        "a &lt; b",
        "x &amp; y",
        "&lt;0&gt;",
        "How to read s.",
        "m.s()",
        "<pre><code>a &lt; b()</code></pre>",
    ):
        assert words in html
    commands = [re.sub("<[^>]+>", "", code) for code in re.findall(r"<code>(<span>.*?)</code>", html)]
    assert [unescape(command) for command in commands] == ["vitro s 'of its own'", "vitro 'a & b'"]


def test_two_sections_or_figures_of_one_name_are_refused() -> None:
    twin = section("s", {}, pl.DataFrame())
    with pytest.raises(ValueError, match=r"two sections .* 's'"):
        render(Page("t", [], [], [twin, twin]))
    figure = {"f": head_effects(head_ablation())}
    sections = [section("a", figure, pl.DataFrame()), section("b", figure, pl.DataFrame())]
    with pytest.raises(ValueError, match=r"two figures .* 'f'"):
        render(Page("t", [], [], sections))
