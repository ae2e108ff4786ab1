"""The table as Markdown, LaTeX (booktabs) or CSV: percent with one decimal for people, fractions in the CSV.

Soft and hard labels have a part of their own, and are never ranked together. What must be said of a cell stands under
the table, once, with a letter.
"""

from __future__ import annotations

import csv
import io
import itertools
import string
from collections.abc import Callable, Mapping, Sequence

from raydd import wording
from raydd.report.table.rows import COLUMNS, Cell, Row, interval_known

HEAD = ("data", "IPC", "method", "network", "protocol")
TAIL = ("n", "search", "images")
TITLES = {"carried": "carried-over setting", "base": "tuned base", "tuned": "tuned method"}
ABOUT = (
    "Top-1 % on test data, mean over distillation runs [95 % interval]; n runs of the tuned method. Bold: the best of "
    "its row, where its paired differences with all others are resolved at equal optimisation steps (Holm). Published "
    "numbers are of the papers' own budgets."
)
SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def escape(text: str) -> str:
    """Text as LaTeX prints it: its special characters escaped.

    >>> escape("50 % of a_b")
    '50 \\\\% of a\\\\_b'
    """
    return "".join(SPECIAL.get(sign, sign) for sign in text)


class Notes:
    """Footnotes: every sentence once, with a letter in the order in which it is first needed."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def mark(self, sentences: Sequence[str]) -> str:
        """Letters of sentences, such as `a,c`."""
        for sentence in sentences:
            self.letters.setdefault(sentence, _letter(len(self.letters)))
        return ",".join(self.letters[sentence] for sentence in sentences)


def _letter(number: int) -> str:
    names = itertools.chain(
        string.ascii_lowercase, map("".join, itertools.product(string.ascii_lowercase, repeat=2))
    )
    return next(itertools.islice(names, number, None))


def published_text(row: Row) -> tuple[str, list[str]]:
    """The published cell, and the sources of its numbers; values that nobody has looked up again say so in it."""
    if not row.published:
        return wording.NOTHING, []
    parts, sources = [], []
    for number in row.published:
        caution = f", {number.caution}" if number.caution else ""
        parts.append(f"{number.text} ({number.network}{caution})")
        sources.append(f"published: {number.name}, {number.source}{caution}")
    return "; ".join(parts), sources


def figures(cell: Cell | None) -> tuple[str, str]:
    """Mean and interval of a cell in percent: `52.3` and `[51.9, 52.7]`; what is missing is `-`."""
    if cell is None:
        return wording.NOTHING, ""
    if not interval_known(cell):
        return wording.percent(cell.mean), "(one run)"
    return wording.percent(cell.mean), f"[{wording.percent(cell.low)}, {wording.percent(cell.high)}]"


def _facts(row: Row) -> dict[str, str]:
    hours = f"{row.hours:.2g}" if row.hours < 10 else f"{row.hours:.0f}"
    return {
        "data": row.dataset,
        "IPC": str(row.ipc),
        "method": row.method,
        "network": row.network,
        "protocol": f"{row.protocol}, {row.epochs} epochs",
        "n": str(row.cells["tuned"].n),
        "search": f"{hours} {row.unit}",
        "images": wording.size(row.size),
    }


def _parts(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of hard labels, then rows of soft ones."""
    return [(labels, list(found)) for labels, found in itertools.groupby(rows, key=lambda row: row.labels)]


# -- Markdown ------------------------------------------------------------------------------------------------


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, a part for each kind of labels."""
    notes, blocks = Notes(), []
    for labels, part in _parts(rows):
        titles = [*HEAD, "published", *TITLES.values(), *TAIL]
        lines = [f"**{labels.capitalize()} labels**", "", _line(titles), _line(["---"] * len(titles))]
        lines += [_line(_cells(row, notes, _bold_markdown, _sup_markdown, _pipes)) for row in part]
        blocks.append("\n".join(lines))
    blocks.append(ABOUT)
    said = [f"<sup>{letter}</sup> {_pipes(sentence)}." for sentence, letter in notes.letters.items()]
    blocks += ["  \n".join(said)] if said else []
    return "\n\n".join(blocks) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bold_markdown(text: str) -> str:
    return f"**{text}**"


def _sup_markdown(letters: str) -> str:
    return f"<sup>{letters}</sup>"


def _pipes(text: str) -> str:
    return text.replace("|", "\\|")


def _cells(
    row: Row,
    notes: Notes,
    bold: Callable[[str], str],
    sup: Callable[[str], str],
    plain: Callable[[str], str],
) -> list[str]:
    """All cells of a row, marked and escaped for a format."""

    def marked(text: str, sentences: Sequence[str]) -> str:
        return text + (sup(notes.mark(sentences)) if sentences else "")

    facts = {name: plain(text) for name, text in _facts(row).items()}
    published, sources = published_text(row)
    found = [marked(facts[name], row.notes if name == "method" else []) for name in HEAD]
    found.append(marked(plain(published), sources))
    for name in COLUMNS:
        cell = row.cells.get(name)
        mean, interval = figures(cell)
        text = f"{bold(mean) if row.is_best(name) else mean} {interval}".rstrip()
        found.append(marked(text, [cell.note] if cell is not None and cell.note else []))
    return [*found, *(facts[name] for name in TAIL)]


# -- LaTeX ---------------------------------------------------------------------------------------------------


def latex(rows: Sequence[Row]) -> str:
    r"""The table as LaTeX for `\usepackage{booktabs}`, whole enough to be \input into a paper."""
    notes = Notes()
    titles = [escape(title) for title in (*HEAD, "published", *TITLES.values(), *TAIL)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\begin{{tabular}}{{lrlll l {'l' * len(COLUMNS)} rll}}",
        r"\toprule",
        _ampersands(titles),
    ]
    for labels, part in _parts(rows):
        heading = rf"\multicolumn{{{len(titles)}}}{{l}}{{\emph{{{labels.capitalize()} labels}}}} \\"
        lines += [r"\midrule", heading]
        lines += [_ampersands(_cells(row, notes, _bold_latex, _sup_latex, escape)) for row in part]
    said = " ".join(rf"\textsuperscript{{{letter}}}\,{escape(one)}." for one, letter in notes.letters.items())
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{f'{escape(ABOUT)} {said}'.strip()}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _bold_latex(text: str) -> str:
    return rf"\textbf{{{text}}}"


def _sup_latex(letters: str) -> str:
    return rf"\textsuperscript{{{letters}}}"


# -- CSV -----------------------------------------------------------------------------------------------------


def as_csv(rows: Sequence[Row]) -> str:
    """The table as CSV: fractions as they are, one published number a column set, several ones parted by `;`."""
    names = ["study", "dataset", "ipc", "labels", "method", "network", "protocol", "epochs", "fit"]
    published = ["mean", "spread", "kind", "network", "confidence", "source"]
    measured = ["mean", "low", "high", "n", "note"]
    header = [*names, *(f"published_{name}" for name in published)]
    header += [f"{column}_{name}" for column in COLUMNS for name in measured]
    header += ["best", "hours", "unit", "bytes", "notes"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values: list[object] = [getattr(row, name) for name in names]
        for name in published:
            of_all = [getattr(number, name) for number in row.published]
            values.append(";".join("" if one is None else str(one) for one in of_all))
        for column in COLUMNS:
            cell = row.cells.get(column)
            known = {"low": "", "high": ""} if cell is not None and not interval_known(cell) else {}
            values += [known.get(name, getattr(cell, name, "")) for name in measured]
        values += [row.best or "", row.hours, row.unit, row.size, "; ".join(row.notes)]
        writer.writerow(values)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = {"markdown": markdown, "latex": latex, "csv": as_csv}


def render(rows: Sequence[Row], form: str) -> str:
    """The table in one of `FORMATS`."""
    return FORMATS[form](rows)
