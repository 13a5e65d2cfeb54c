"""The scoreboard in a terminal: as many columns a table as its width allows."""

from rich.table import Table

from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.scoreboard import Board, Outcome
from prefprior.evaluation.report.labels import DECODED, HEADLINE, describe

# What a control should take away, in the order of preference.
PERSONAL = ("utility", "auc", "personal_gap", "recall_20")
PADDING = 2
LEAST_P = 0.001


def headline(board: Board, figures: dict[str, Figure]) -> list[str]:
    """The metrics of the first table for which there are figures."""
    found = shown(board, figures)
    return [name for name in HEADLINE if name in found]


def shown(board: Board, figures: dict[str, Figure]) -> set[str]:
    """The metrics a table of whole histories has anything to say of."""
    names = {key.split("/")[-1].split("@")[0] for key in figures}
    whole = [outcome for outcome in _whole(board) if outcome.control is None]
    return {name for name in names if any(board.figure(figures, outcome, name) is not None for outcome in whole)}


def label(board: Board, metric: str) -> str:
    """What a column is called; of decoded pictures, with the length of the histories they were decoded for."""
    length = board.decoded_length if metric.endswith(DECODED) else None
    return describe(metric).label + ("" if length is None else f" @{length}")


def written(value: float, metric: str = "") -> str:
    """Three decimals; no zero has a sign, and no p-value is 0."""
    if metric == "personal_p" and value < LEAST_P:
        return f"<{LEAST_P}"
    return f"{round(value, 3) + 0.0:.3f}"


def best(board: Board, figures: dict[str, Figure], metric: str) -> float | None:
    """The best figure from whole histories; the oracle and controls do not compete."""
    values = [
        figure.value
        for outcome in _whole(board)
        if outcome.control is None and outcome.predictor != "oracle"
        if (figure := board.figure(figures, outcome, metric)) is not None
    ]
    better = describe(metric).better
    if better is None or not values:
        return None
    return max(values) if better else min(values)


def terminal_tables(board: Board, figures: dict[str, Figure], width: int) -> list[Table]:
    """Every predictor from whole histories, the best of each column bold; then what controls take away."""
    rows = [outcome for outcome in _whole(board) if outcome.control is None]
    columns = []
    for name in headline(board, figures):
        found = [board.figure(figures, outcome, name) for outcome in rows]
        top = best(board, figures, name)
        cells = [_bold(_write(figure, name), figure is not None and figure.value == top) for figure in found]
        columns.append((label(board, name), cells))
    size = f"{len(board.people):,} people, {len(board.people.catalogue):,} pictures"
    tables = _tables(f"{board.data}, {board.part}: {size}", [o.row for o in rows], columns, width)
    if any(outcome.control for outcome in board.outcomes):
        tables += _tables(
            "controls: what is personal must vanish", board.predictors, _control_columns(board, figures), width
        )
    return tables


def _control_columns(board: Board, figures: dict[str, Figure]) -> list[tuple[str, list[str]]]:
    found = {key.split("/")[-1].split("@")[0] for key in figures}
    controls = list(dict.fromkeys(outcome.control for outcome in _whole(board)))
    columns = []
    for name in [name for name in PERSONAL if name in found][:2]:
        for control in controls:
            outcomes = [board.find(predictor, None, control) for predictor in board.predictors]
            cells = [_write(figures.get(board.key(o, name)) if o is not None else None, name) for o in outcomes]
            columns.append((describe(name).label if control is None else f"+{control}", cells))
    return columns


def _tables(title: str, names: list[str], columns: list[tuple[str, list[str]]], width: int) -> list[Table]:
    """Columns side by side while they fit, then another table below."""
    first = max(len(name) for name in [*names, "predictor"]) + PADDING
    tables: list[Table] = []
    groups: list[list[tuple[str, list[str]]]] = [[]]
    used = first
    for label, cells in columns:
        need = max(len(label), *(len(_plain(cell)) for cell in cells)) + PADDING
        if groups[-1] and used + need > width:
            groups.append([])
            used = first
        groups[-1].append((label, cells))
        used += need
    for group in groups:
        table = Table(title=title if not tables else None, box=None, title_justify="left", padding=(0, PADDING, 0, 0))
        table.add_column("predictor", no_wrap=True)
        for label, _ in group:
            table.add_column(label, justify="right", no_wrap=True)
        for place, name in enumerate(names):
            table.add_row(name, *(cells[place] for _, cells in group))
        tables.append(table)
    return tables


def _whole(board: Board) -> list[Outcome]:
    return [outcome for outcome in board.outcomes if outcome.length is None]


def _write(figure: Figure | None, metric: str = "") -> str:
    """A figure with half the width of its 95 % interval."""
    if figure is None:
        return ""
    return written(figure.value, metric) + (
        f" ±{(figure.high - figure.low) / 2:.3f}" if figure.low == figure.low else ""
    )


def _bold(text: str, yes: bool) -> str:
    return f"[bold]{text}[/bold]" if yes else text


def _plain(text: str) -> str:
    return text.removeprefix("[bold]").removesuffix("[/bold]")
