"""What chapters of the lesson say beside their formulas."""

from __future__ import annotations

from collections.abc import Iterator

from llmcalc.configuration import Configuration
from llmcalc.lessons.accounts import ACCOUNTS, accounts_of, accounts_of_job, job
from llmcalc.lessons.chapters import Chapter
from llmcalc.words import w
from pages.content.article import has_errata, sections
from pages.content.pieces import table
from pages.ui.document.blocks import Block, Folded, note, said
from pages.ui.words.numbers import error_share, human


def calculators(config: Configuration) -> Iterator[Block]:
    """Chapter 7: what each account says of the measured step, and of the reader's."""
    measured, theirs = accounts_of_job(), accounts_of(config)
    rows = []
    for id in ACCOUNTS:
        accounts = (measured[id], theirs.get(id))
        amounts = [amount for of in accounts for amount in ((of.saved, of.peak) if of else (None, None))]
        cells = ("–" if amount is None else human(amount, "bytes") for amount in amounts)
        rows.append([w(f"learn.accounts.{id}"), *cells])
    heads = ("learn.account", "learn.kept", "learn.charts.peak_short", "learn.kept_yours", "learn.peak_yours")
    yield table([*map(w, heads)], rows, key="comparison_table")
    ours, real = measured["llmcalc"].peak, measured["measured"].peak
    assert ours
    assert real
    told = w("learn.calculators.measured", run=f"`{job()}`", error=error_share(abs(ours / real - 1)))
    yield note(told)


def of_the_article(chapter: Chapter) -> Iterator[Block]:
    """The section of the article that a chapter retells rightly, where it prints something wrong."""
    if chapter.section and has_errata(chapter.section):
        yield Folded(said(w("learn.article")), f"article_{chapter.section}", lambda: sections(chapter.section))
