"""Tables in plain text."""

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: numbers flush right, words flush left."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(_numeric(cell) for cell in column[1:]) for column in columns]
    lines = []
    for row in (header, *rows):
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(f"{cell:>{width}}" if flush else f"{cell:<{width}}" for cell, width, flush in cells))
    return "\n".join(line.rstrip() for line in lines)


def _numeric(cell: str) -> bool:
    try:
        float(cell.replace(",", "").rstrip("%") or "0")
    except ValueError:
        return cell == "-" or "±" in cell
    return True
