"""CSV and TSV: which delimiter, whether there is a header, which column asks and which answers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.examples.formats import pairs, reading
from components.examples.formats.records import Imported, Record, Skipped, Unusable, example, filled
from components.examples.labels import labels_of
from components.files import DataError

_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}

_NO_HEADER = (
    "no header: the first row was read as an example (if it holds names, give them: --prompt-column, --answer-column)"
)


@dataclass(frozen=True)
class Row:
    """A row's cells and the line on which it begins."""

    line: int
    cells: list[str]


def read(path: Path, prompt_column: str | None = None, answer_column: str | None = None) -> Imported:
    """Read a table of examples.

    The columns are those named, else those with usual names (see `pairs`), else, of two
    columns, the one with few short values is the answer (a label), else the second.

    Raises:
        DataError: no delimiter gives two columns, a named column is not there, or there are
            more than two columns and no names that say which to take (the columns are listed).
    """
    delimiter = _delimiter(path)
    rows, skipped = _rows(path, delimiter)
    if not rows:
        raise DataError(f"{path}: no row could be read; first: {skipped[0] if skipped else 'the file is empty'}")
    width = Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    header = rows[0].cells if _is_header(rows, width, prompt_column, answer_column) else None
    body = rows[1:] if header else rows
    if not body:
        raise DataError(f"{path} holds only a header ({', '.join(rows[0].cells)}) and no row")
    notes = [] if header else [_NO_HEADER]
    prompt, answer, note = _columns(path, header, body, width, prompt_column, answer_column)
    notes += [note] if note else []
    names = header or [f"column {i + 1}" for i in range(width)]
    examples = []
    for row in body:
        try:
            if len(row.cells) != width:
                raise Unusable(f"{len(row.cells)} columns instead of {width}")
            examples.append(
                example(
                    [
                        ("user", filled(row.cells[prompt], names[prompt])),
                        ("assistant", filled(row.cells[answer], names[answer])),
                    ]
                )
            )
        except Unusable as error:
            skipped.append(Skipped(row.line, str(error)))
    skipped.sort(key=lambda s: s.line or 0)
    unused = [name for i, name in enumerate(names) if i not in (prompt, answer)]
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    return Imported(tuple(examples), f"table ({_NAMES[delimiter]}-separated)", tuple(skipped), tuple(notes))


def asked(path: Path, column: str | None = None) -> tuple[list[tuple[int, str]], list[Skipped], str]:
    """The texts of the column that asks, each with its line; what gave none; and how the column was chosen.

    It is the one that is named, else the only one, else one with a usual name (see `pairs`).

    Raises:
        DataError: there is no such column, or no saying which of several asks (they are listed).
    """
    try:
        delimiter = _delimiter(path)
    except DataError:
        delimiter = ","
    rows, skipped = _rows(path, delimiter)
    if not rows:
        raise DataError(f"{path}: no row could be read; first: {skipped[0] if skipped else 'the file is empty'}")
    width = Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    names = [cell.strip() for cell in rows[0].cells]
    usual = next((name for known in pairs.PROMPTS for name in names if name.casefold() == known), None)
    header = names if usual is not None or column in names else None
    listed = ", ".join(names) if header or width > 1 else "one without a name"
    at = _position(column, header, width) if column is not None else None
    if column is not None and at is None:
        raise DataError(f"{path}: --prompt-column {column}: there is no such column; columns: {listed}")
    if at is None and usual is not None:
        at = names.index(usual)
    if at is None and width > 1:
        raise DataError(f"{path} has {width} columns ({listed}): say which one asks with --prompt-column")
    at = at or 0
    found = []
    for row in rows[1:] if header else rows:
        if len(row.cells) != width:
            skipped.append(Skipped(row.line, f"{len(row.cells)} columns instead of {width}"))
        elif not row.cells[at].strip():
            skipped.append(Skipped(row.line, f"{names[at] if header else f'column {at + 1}'} is empty"))
        else:
            found.append((row.line, row.cells[at]))
    chosen = f"column {names[at]}" if header else f"column {at + 1}; no header: the first row is a prompt, too"
    return found, skipped, chosen


def records(path: Path) -> Iterator[Record | Skipped]:
    """The rows of a table as objects, whose keys its first row names; empty cells are empty texts.

    Raises:
        DataError: no delimiter gives two columns, or no row can be read.
    """
    rows, skipped = _rows(path, _delimiter(path))
    if not rows:
        raise DataError(f"{path}: no row could be read; first: {skipped[0] if skipped else 'the file is empty'}")
    names = [cell.strip() for cell in rows[0].cells]
    yield from skipped
    for row in rows[1:]:
        if len(row.cells) != len(names):
            yield Skipped(row.line, f"{len(row.cells)} columns instead of {len(names)}")
        else:
            yield Record(row.line, dict(zip(names, row.cells, strict=True)))


def _delimiter(path: Path) -> str:
    """The delimiter that splits most of the first lines into the same number (two or more) of columns;
    of equals, the one that the file's name promises.

    Raises:
        DataError: none does so with most of the lines.
    """
    looked_at = zip(range(200), reading.lines(path), strict=False)
    head = [item[1] for _, item in looked_at if not isinstance(item, Skipped) and item[1]]
    best, best_share = "", 0.5
    for delimiter in (",", "\t", ";", "|") if path.suffix.lower() == ".csv" else ("\t", ",", ";", "|"):
        try:
            widths = Counter(len(cells) for cells in csv.reader(head, delimiter=delimiter) if cells)
        except csv.Error:
            continue
        share = max((count for width, count in widths.items() if width > 1), default=0) / max(1, widths.total())
        if share > best_share:
            best, best_share = delimiter, share
    if not best:
        raise DataError(f"{path}: no comma, tab, semicolon or bar splits its lines into two columns")
    return best


def _rows(path: Path, delimiter: str) -> tuple[list[Row], list[Skipped]]:
    """All rows; quotes count as CSV's (RFC 4180) unless a tab-separated file plainly uses them as characters."""
    rows, skipped, broken = _parse(path, delimiter, csv.QUOTE_MINIMAL)
    if broken and delimiter == "\t":
        rows, skipped, _ = _parse(path, delimiter, csv.QUOTE_NONE)
    return rows, skipped


def _parse(path: Path, delimiter: str, quoting: int) -> tuple[list[Row], list[Skipped], bool]:
    skipped: list[Skipped] = []
    rows: list[Row] = []
    last = 0

    def text() -> Iterator[str]:
        nonlocal last
        for item in reading.lines(path):
            if isinstance(item, Skipped):
                skipped.append(item)
                last = item.line or last
            else:
                last = item[0]
                yield item[1] + "\n"

    csv.field_size_limit(reading.MAX_LINE)
    source = csv.reader(text(), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    broken = False
    while True:
        begin = last + 1
        try:
            cells = next(source)
        except StopIteration:
            return rows, skipped, broken
        except csv.Error as error:
            broken = True
            skipped.append(Skipped(begin, _why(str(error), begin, last), max(1, last - begin + 1)))
            if "unexpected end" in str(error):
                return rows, skipped, broken
            continue
        if any(cell.strip() for cell in cells):
            rows.append(Row(begin, cells))


def _why(error: str, begin: int, end: int) -> str:
    if "unexpected end" in error or "field limit" in error:
        return f"a quote opened in the row that begins here is never closed (read on to line {end})"
    if "expected after" in error:
        return "text after a closing quote; write a quote inside a quoted cell twice"
    return f"not a row: {error}"


def _is_header(rows: Sequence[Row], width: int, prompt_column: str | None, answer_column: str | None) -> bool:
    """Is the first row names? It is where columns are asked for by name, or names are usual ones, or where
    the first cell of a label column is no label that comes again, or only the first row's cells are single words."""
    first = [cell.strip() for cell in rows[0].cells]
    if prompt_column in first or answer_column in first:
        return True
    known = {*pairs.PROMPTS, *pairs.ANSWERS, "id", "name"}
    short = all(cell and len(cell) <= 40 and "\n" not in cell for cell in first)
    if short and len(first) == width and len({*first}) == width:
        if any(cell.casefold() in known for cell in first):
            return True
        if width > 2:
            return all(cell.replace("_", "").replace(" ", "").isalnum() and not cell.isdigit() for cell in first)
        for i in range(width):
            rest = [row.cells[i].strip() for row in rows[1:] if len(row.cells) == width]
            if labels_of(rest) and first[i] not in rest:
                return True
        others = [cell for row in rows[1:] for cell in row.cells]
        return bool(others) and all(map(_is_word, first)) and not any(map(_is_word, others))
    return False


def _is_word(cell: str) -> bool:
    return cell.strip().replace("_", "").replace("-", "").isalpha()


def _columns(
    path: Path,
    header: list[str] | None,
    body: Sequence[Row],
    width: int,
    prompt_column: str | None,
    answer_column: str | None,
) -> tuple[int, int, str]:
    """Positions of question and answer, and a note where they were guessed."""
    listed = ", ".join(header) if header else f"{width} columns without names"
    if prompt_column is not None or answer_column is not None:
        found = []
        for option, name in (("--prompt-column", prompt_column), ("--answer-column", answer_column)):
            if name is None:
                raise DataError(f"{path}: give both --prompt-column and --answer-column; columns: {listed}")
            at = _position(name, header, width)
            if at is None:
                raise DataError(f"{path}: {option} {name}: there is no such column; columns: {listed}")
            found.append(at)
        return found[0], found[1], ""
    if header:
        usual = pairs.keys_of(header)
        if usual is not None:
            prompt, answer = (header.index(name) for name in usual)
            return prompt, answer, f"question: {usual[0]}, answer: {usual[1]} (by their names)"
    if width != 2:
        raise DataError(
            f"{path} has {width} columns ({listed}): say which ask and answer with --prompt-column and --answer-column"
        )
    columns = [[row.cells[i].strip() for row in body if len(row.cells) == 2] for i in range(2)]
    few = [labels_of(column) for column in columns]
    if few[0] and not few[1]:
        return (
            1,
            0,
            f"the first column holds only {len(few[0])} short values, so it is taken as the label to answer with",
        )
    if few[1] and not few[0]:
        return (
            0,
            1,
            f"the second column holds only {len(few[1])} short values, so it is taken as the label to answer with",
        )
    return 0, 1, "the first column is taken as the question, the second as the answer"


def _position(name: str, header: list[str] | None, width: int) -> int | None:
    if header and name in [cell.strip() for cell in header]:
        return [cell.strip() for cell in header].index(name)
    if not header and name.isdigit() and 1 <= int(name) <= width:
        return int(name) - 1
    return None
