"""The scoreboard in a terminal."""

from rich.table import Table

from prefprior.evaluation.board import Board
from prefprior.evaluation.bootstrap import Figure
from prefprior.evaluation.metrics import HEADLINE, describe


def headline(board: Board, figures: dict[str, Figure]) -> list[str]:
    """The metrics of the first table that this board has."""
    found = {key.split("/")[-1].split("@")[0] for key in figures}
    return [name for name in HEADLINE if name in found]


def write(figure: Figure, interval: bool = True) -> str:
    """A figure with half the width of its 95 % interval."""
    if not interval or figure.low != figure.low:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ±{(figure.high - figure.low) / 2:.3f}"


def terminal_table(board: Board, figures: dict[str, Figure]) -> Table:
    """Every predictor and control from whole histories; the best predictor of each column is bold."""
    names = headline(board, figures)
    table = Table(
        title=f"{board.data}, {board.part}: {len(board.people):,} people, {len(board.people.catalogue):,} pictures",
        caption="mean over people ± half of the 95 % interval; +other, +shuffled, +flipped are controls",
    )
    table.add_column("predictor", no_wrap=True)
    for name in names:
        table.add_column(describe(name).label, justify="right")
    best = {name: _best(board, figures, name) for name in names}
    whole = [outcome for outcome in board.outcomes if outcome.length is None]
    for outcome in whole:
        cells = []
        for name in names:
            figure = figures.get(board.key(outcome, name))
            text = "" if figure is None else write(figure, interval=name != "personal_p")
            cells.append(f"[bold]{text}[/bold]" if outcome.row == best[name] else text)
        table.add_row(outcome.row, *cells, style="dim" if outcome.control else None)
    return table


def _best(board: Board, figures: dict[str, Figure], metric: str) -> str | None:
    better = describe(metric).better
    rows = {
        outcome.row: figures[board.key(outcome, metric)].value
        for outcome in board.outcomes
        if outcome.length is None
        and outcome.control is None
        and outcome.predictor != "oracle"
        and board.key(outcome, metric) in figures
    }
    if better is None or not rows:
        return None
    return max(rows, key=lambda row: rows[row]) if better else min(rows, key=lambda row: rows[row])
