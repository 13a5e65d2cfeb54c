"""The terminal's table of a few-shot protocol: a column for each figure of each history length."""

from rich.table import Table

from prefprior.evaluation.protocol.results import Condition, Results
from prefprior.evaluation.report.labels import describe
from prefprior.evaluation.report.table import formatted


def few_shot_table(results: Results) -> Table:
    """Each figure with half the width of its 95 % interval over users."""
    asked = results.outcomes
    columns = dict.fromkeys((outcome.condition.length, name) for outcome in asked for name in outcome.by_user)
    table = Table(title=f"{results.data}, {results.part}: {len(results.people)} users")
    table.add_column("predictor")
    for length, name in columns:
        table.add_column(f"{describe(name).label} @{'all' if length is None else length}", justify="right")
    for predictor in results.predictors:
        cells = [_cell(results, predictor, length, name) for length, name in columns]
        table.add_row(predictor, *cells)
    return table


def _cell(results: Results, predictor: str, length: int | None, name: str) -> str:
    outcome = results.find(predictor, Condition(length))
    figure = None if outcome is None else results.figures.get(results.key(outcome, name))
    return "" if figure is None else f"{formatted(figure.value)} ±{(figure.high - figure.low) / 2:.3f}"
