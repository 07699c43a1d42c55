"""A document as one HTML file that needs nothing else: formulas are MathML, bars are SVG, no script, nothing to fetch.

It is well-formed XML too, which the tests read it as.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from html import escape

from latex2mathml.converter import convert

from pages.ui.document.blocks import Bullets, Document, Line, Paragraph, Span, Table, Working, Written

_CSS = """
:root { color-scheme: light dark; --text: light-dark(#1f2328, #e6e9ee); --paper: light-dark(#ffffff, #11151a);
  --muted: light-dark(#5a606a, #9aa3af); --rule: light-dark(#dfe2e6, #323a44); --link: light-dark(#0072b2, #3d9be0); }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--text); background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 0.6rem; border-top: 1px solid var(--rule); padding-top: 1rem; }
p { margin: 0.5rem 0; overflow-wrap: anywhere; }
li { overflow-wrap: anywhere; }
.note { color: var(--muted); font-size: 0.88rem; }
a { color: var(--link); }
code { font: 0.88em ui-monospace, "Cascadia Mono", Menlo, monospace; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0.6rem 0 1rem; }
table { border-collapse: collapse; min-width: min(100%, 26rem); font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--rule); vertical-align: baseline;
  white-space: nowrap; text-align: left; }
th { color: var(--muted); font-weight: 600; font-size: 0.88rem; white-space: normal; vertical-align: bottom; }
.r { text-align: right; }
.w { white-space: normal; min-width: 11rem; }
.bar { display: block; width: 9rem; height: 0.8rem; }
.bar rect { fill: light-dark(var(--light), var(--dark)); }
.working { margin: 0.9rem 0; padding-left: 0.8rem; border-left: 2px solid var(--rule); break-inside: avoid; }
.working p { margin: 0.15rem 0; }
.working .name { font-weight: 600; }
.formula { overflow-x: auto; padding: 0.1rem 0; }
math { font-size: 1.05em; math-style: normal; }
msup > :nth-child(2) mfrac { font-size: 1.4em; }
@media (max-width: 40rem) { .bar { width: 4rem; } h1 { font-size: 1.5rem; }
  th, td { padding-right: 0.6rem; } .l { white-space: normal; min-width: 8rem; } }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 10pt; }
  .wide, .formula { overflow: visible; } a { color: inherit; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""
_NUMBER = re.compile(r"\d+(?:(?:\{,\}|[.,])\d+)+")
_DEEPER, _SHALLOWER = re.compile(r"\\left|\{|(?<!\\left)\("), re.compile(r"\\right|\}|(?<!\\right)\)")


def html(document: Document) -> str:
    """The whole file."""
    return "\n".join(_file(document)) + "\n"


def _file(document: Document) -> Iterator[str]:
    title = escape("".join(span.text for span in document.title))
    yield f'<!DOCTYPE html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{title}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{_line(document.title)}</h1>"
    yield from map(_block, document.opening)
    for section in document.sections:
        yield f"<section>\n<h2>{_line(section.title)}</h2>"
        yield from map(_block, section.blocks)
        yield "</section>"
    yield "</body>\n</html>"


def _block(block: Written) -> str:
    match block:
        case Paragraph(line, is_note):
            return f'<p class="note">{_line(line)}</p>' if is_note else f"<p>{_line(line)}</p>"
        case Bullets(lines):
            return f"<ul>{''.join(f'<li>{_line(line)}</li>' for line in lines)}</ul>"
        case Table():
            return f'<div class="wide"><table>\n{_table(block)}\n</table></div>'
        case Working(name, steps, source):
            formula = f'<p class="formula">{" ".join(map(_line, steps))}</p>'
            below = f'<p class="note">{_line(source)}</p>' if source else ""
            return f'<div class="working"><p class="name">{_line(name)}</p>{formula}{below}</div>'


def _table(table: Table) -> str:
    def row(cells: list[str], tag: str) -> str:
        told = (f'<{tag} class="{letter}">{cell}</{tag}>' for letter, cell in zip(table.alignment, cells, strict=True))
        return f"<tr>{''.join(told)}</tr>"

    head = row([_line(cell) for cell in table.head], "th")
    body = "\n".join(row([_line(cell) for cell in cells], "td") for cells in table.all_rows)
    return f"<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>"


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    text = escape(span.text)
    match span.kind:
        case "bold":
            return f"<strong>{text}</strong>"
        case "emphasis":
            return f"<em>{text}</em>"
        case "code":
            return f"<code>{text}</code>"
        case "math":
            return mathml(span.text)
        case "badge":
            return f"({text})"
        case "icon":
            return ""
        case "link":
            return f'<a href="{escape(span.more)}">{text}</a>'
        case "bar":
            light, dark = span.more.split("|")
            rect = f'<rect width="{100 * span.share:.1f}%" height="100%" style="--light: {light}; --dark: {dark}"/>'
            return f'<svg class="bar" aria-hidden="true">{rect}</svg>'
    return text


@functools.lru_cache(maxsize=4096)
def mathml(latex: str) -> str:
    """A formula as MathML: one piece for each term of a sum, so that a browser can break the line between them."""
    return "<wbr/>".join(map(_piece, terms(latex)))


def terms(latex: str) -> list[str]:
    """The terms of a sum, each with the sign before it; inside of brackets nothing is taken apart."""
    found, depth = [""], 0
    for piece in re.split(r"( \+ )", latex):
        if piece == " + " and depth == 0:
            found.append("+ ")
        else:
            found[-1] += piece
            depth += len(_DEEPER.findall(piece)) - len(_SHALLOWER.findall(piece))
    return found


def _piece(latex: str) -> str:
    """Numbers go in as text, or their marks would be taken for operators, and come out as numbers."""
    texts = _NUMBER.sub(lambda number: rf"\text{{{number[0].replace('{,}', ',')}}}", latex)
    made = convert(texts).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    made = re.sub(r"<mtext>([\d.,]+)</mtext>", r"<mn>\1</mn>", made)
    return made.replace("<mrow><mo>&#x0002B;</mo>", '<mrow><mo form="infix">&#x0002B;</mo>', 1)
