"""The evaluation as one HTML page that needs nothing else: figures, the routing matrix in colours, media inside.

Everything that comes from outside, captions and replies and paths, is escaped here; nothing is computed here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nextgpt_core.evaluation.matrix import SETS, name
from nextgpt_core.evaluation.report import Report

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".wav": "audio/wav"}
_MOST_MISSES, _MOST_ANSWERS = 60, 40
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>NExT-GPT, evaluated</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1c1e; }}
table {{ border-collapse: collapse; margin: .5rem 0 1.5rem; }}
td, th {{ border: 1px solid #d4d4d8; padding: .2rem .5rem; text-align: left; vertical-align: top; }}
th {{ font-weight: 600; background: #f4f4f5; }}
.matrix td, .matrix th {{ font-size: 11px; text-align: center; padding: .15rem .3rem; }}
.media td {{ text-align: center; }} .media img, .media video {{ width: 160px; }} .media audio {{ width: 220px; }}
</style></head><body>
<h1>NExT-GPT, evaluated</h1><p>Checkpoint: {checkpoint}</p>
{body}
</body></html>
"""


def write_sheet(report: Report, path: Path) -> None:
    figures = report.figures
    parts = [
        _section("Figures", _table(("figure", "value"), _summary(figures))),
        _section("Routing: exactly what was asked for, by what was sent (rows) and wanted (columns)", _matrix(figures)),
        _section("In people's own words, by what was wanted", _table(("wanted", "share"), _own(figures))),
    ]
    for modality, examples in report.examples.items():
        rows = [
            (escape(caption), _medium(straight.path), _medium(through.path)) for caption, straight, through in examples
        ]
        heads = ("caption", "caption straight into the decoder", "through the language model")
        parts.append(_section(f"{modality.capitalize()}: the same caption, two ways", _rows(heads, rows, "media")))
    for what, found in figures["understanding"].items():
        if found:
            parts.append(_section(f"Understanding: {what}", _answers(found["answers"])))
    parts.append(_section("Plain text, beside the untouched model", _text(figures["text"])))
    misses = figures["routing"]["misses"][:_MOST_MISSES]
    rows = [(m["prompt"], m["wanted"], m["made"], m["reply"]) for m in misses]
    parts.append(_section("Routing: misses", _table(("prompt", "wanted", "made", "reply"), rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    page = _PAGE.format(checkpoint=escape(figures["checkpoint"]), body="\n".join(parts))
    path.write_text(page, encoding="utf-8")


def _summary(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    routing, text = figures["routing"], figures["text"]
    rows = [
        (f"routing, {routing['prompts']['matrix']} prompts over 15 × 15", _number(routing["matrix"])),
        ("the same, media alone", _number(routing["matrix_media"])),
        (f"routing, {routing['prompts']['own_words']} prompts in people's own words", _number(routing["own_words"])),
        ("of these, follow-ups", _number(routing["follow_ups"])),
        ("unwanted media", _number(routing["unwanted_media"])),
    ]
    rows += [(f"alignment, {m}", _number(f and f["ratio"])) for m, f in figures["alignment"].items()]
    rows += [(f"understanding, {w}", _number(f and f["named"])) for w, f in figures["understanding"].items()]
    rows += [(name, _number(text[name])) for name in ("perplexity_ratio", "facts", "facts_untouched")]
    return rows + [(f"{what}: not judged", reason) for what, reason in figures["not_judged"].items()]


def _matrix(figures: Mapping[str, Any]) -> str:
    cells = figures["routing"]["cells"]
    names = [name(kinds) for kinds in SETS]
    head = "".join(f"<th>{escape(wanted)}</th>" for wanted in names)
    rows = []
    for shown in names:
        row = "".join(_cell(cells.get(shown, {}).get(wanted)) for wanted in names)
        rows.append(f"<tr><th>{escape(shown)}</th>{row}</tr>")
    return f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _cell(share: float | None) -> str:
    if share is None:
        return "<td></td>"
    return f'<td style="background: hsl({round(120 * share)}, 65%, 80%)">{round(100 * share)}</td>'


def _own(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(wanted, _number(share)) for wanted, share in figures["routing"]["own_words_by_wanted"].items()]


def _answers(answers: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_medium(Path(a["file"])), escape(a["name"]), escape(a["answer"]), "yes" if a["named"] else "no")
        for a in answers[:_MOST_ANSWERS]
    ]
    return _rows(("shown", "it is", "the model says", "named"), rows, "media")


def _text(text: Mapping[str, Any]) -> str:
    heads = ("prompt", "answer", "right", "untouched model", "right")
    rows = [
        (
            a["prompt"],
            a["answer"],
            "yes" if a["right"] else "no",
            a["untouched"],
            "yes" if a["untouched_right"] else "no",
        )
        for a in text["answers"]
    ]
    return _table(heads, rows)


def _medium(path: Path) -> str:
    kind = _TYPES.get(path.suffix)
    if kind is None or not path.is_file():
        return escape(path.name)
    source = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    tag = kind.partition("/")[0]
    return f'<img alt="" src="{source}">' if tag == "image" else f'<{tag} controls src="{source}"></{tag}>'


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _rows(heads, [[escape(str(cell)) for cell in row] for row in rows])


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="{kind}"><tr>{head}</tr>{body}</table>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
