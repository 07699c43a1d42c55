"""A document as Markdown with formulas between dollar signs, as GitHub, Jupyter and Obsidian show them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pages.ui.document.blocks import Bullets, Document, Line, Paragraph, Span, Table, Working, Written

_SPECIAL = re.compile(r"([\\`*_\[\]<>|$#~&])")
RULES = {"l": ":--", "w": ":--", "r": "--:"}
_BAR_WIDTH = 20


def markdown(document: Document) -> str:
    """The whole file."""
    blocks = [f"# {_line(document.title)}", *map(_block, document.opening)]
    for section in document.sections:
        blocks += [f"## {_line(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(blocks) + "\n"


def _block(block: Written) -> str:
    match block:
        case Paragraph(line):
            return _line(line)
        case Bullets(lines):
            return "\n".join(f"- {_line(line)}" for line in lines)
        case Table():
            return "\n".join(_table(block))
        case Working(name, steps, source):
            written = [f"**{_line(name)}**", " ".join(map(_line, steps)), *([_line(source)] if source else [])]
            return "  \n".join(written)


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(map(_line, table.head))} |"
    yield f"|{'|'.join(RULES[letter] for letter in table.alignment)}|"
    for row in table.all_rows:
        yield f"| {' | '.join(map(_line, row))} |"


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    text = _SPECIAL.sub(r"\\\1", span.text.replace("\n", " "))
    match span.kind:
        case "bold":
            return f"**{text}**"
        case "emphasis":
            return f"*{text}*"
        case "code":
            return fenced(span.text)
        case "math":
            return f"${span.text}$"
        case "badge":
            return f"({text})"
        case "icon":
            return ""
        case "link":
            return f"[{text}](<{span.more}>)"
        case "bar":
            return "█" * round(_BAR_WIDTH * span.share)
    return text


def fenced(text: str) -> str:
    """Code: text in backticks, more of them than stand in it; a bar would end a table's cell even there."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    inside = text.replace("\n", " ").replace("|", "\\|")
    return f"{fence} {inside} {fence}" if "`" in text else f"{fence}{inside}{fence}"
