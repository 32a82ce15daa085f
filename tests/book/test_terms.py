"""Terms of the glossary: which there are, and that a page links the first use of each, in prose alone."""

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from fairnc_book.site import terms

GLOSSARY = """
positive control
   A change that is known to be there. It must be noticed.

even part, odd part
   What stays, and what turns.

head
   The layers on top.

.. list-table::
   :header-rows: 1

   * - metric
     - definition
   * - NC3
     - mean of cosines
   * - mean log ratio
     - a word of no capitals
"""

PAGE = """
Positive controls and NC3
=========================

A table ``NC3`` and `a link with NC3 <x.html>`_, UNC3 and pre-NC3; two positive
controls, *the even part* and NC3 (NC3 again). The positive control, the head.

+-----+
| odd |
| part|
+-----+
"""


@pytest.fixture
def found():
    return terms.of_glossary(publish_doctree(GLOSSARY))


def linked(page: str, found: list) -> list[nodes.reference]:
    document = publish_doctree(page)
    terms.link(document, found, "glossary.html")
    return [each for each in document.findall(nodes.reference) if "term" in each["classes"]]


def test_terms_are_those_of_lists_and_the_names_of_metrics(found):
    assert {term.word for term in found} == {"positive control", "even part", "odd part", "NC3"}
    definitions = {term.word: term.definition for term in found}
    assert definitions["positive control"].startswith("A change that is known")
    assert definitions["NC3"] == "mean of cosines"


def test_the_first_use_of_each_term_in_prose_is_linked_once(found):
    links = linked(PAGE, found)
    assert [each.astext() for each in links] == ["positive\ncontrols", "even part", "NC3"]
    assert links[2]["refuri"] == "glossary.html#term-nc3"
    assert links[2]["reftitle"] == "mean of cosines"
    assert all(each.parent.tagname in ("paragraph", "emphasis") for each in links)


def test_text_is_what_it_was(found):
    document = publish_doctree(PAGE)
    before = document.astext()
    terms.link(document, found, "glossary.html")
    assert document.astext() == before


def test_each_term_has_an_anchor_in_the_glossary(found):
    document = publish_doctree(GLOSSARY)
    anchors = {term.anchor for term in terms.of_glossary(document)}
    ids = {name for node in document.findall(nodes.Element) for name in node["ids"]}
    assert anchors <= ids


def test_formulas_of_a_definition_are_plain_on_hover():
    assert terms.plain("a word " * 100).endswith(" …")
    assert terms.plain(r"mean of \cos(M_c - m_G,\, W_c)") == "mean of cos(M_c - m_G, W_c)"
