"""The scoreboard in a terminal: as many columns a table as its width allows."""

from rich.table import Table

from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.decoding import DECODED
from prefprior.evaluation.protocol.results import FULL, Condition, Results
from prefprior.evaluation.report.labels import HEADLINE, describe

# What a control should take away, in the order of preference.
PERSONAL = ("utility", "auc", "personal_gap", "recall_20")
PADDING = 2
LEAST_P = 0.001


def headline(results: Results) -> list[str]:
    """The metrics of the first table for which there are figures."""
    found = metrics_shown(results)
    return [name for name in HEADLINE if name in found]


def metrics_shown(results: Results) -> set[str]:
    """The metrics that a table of whole histories has figures for."""
    whole = results.whole_histories(controls=False)
    return {name for name in _metrics(results) if any(results.figure(outcome, name) is not None for outcome in whole)}


def label(results: Results, metric: str) -> str:
    """What a column is called; of decoded pictures, with the length of the histories they were decoded for."""
    length = results.decoded_length if metric.endswith(DECODED) else None
    return describe(metric).label + ("" if length is None else f" @{length}")


def formatted(value: float, metric: str = "") -> str:
    """Three decimals; no zero has a sign, and no p-value is 0."""
    if metric == "personal_p" and value < LEAST_P:
        return f"<{LEAST_P}"
    return f"{round(value, 3) + 0.0:.3f}"


def best(results: Results, metric: str) -> float | None:
    """The best figure from whole histories; the oracle and controls do not compete."""
    values = [
        figure.value
        for outcome in results.whole_histories(controls=False)
        if outcome.predictor != "oracle"
        if (figure := results.figure(outcome, metric)) is not None
    ]
    better = describe(metric).better
    if better is None or not values:
        return None
    return max(values) if better else min(values)


def terminal_tables(results: Results, width: int) -> list[Table]:
    """Every predictor from whole histories, the best of each column bold; then what controls take away."""
    rows = results.whole_histories(controls=False)
    columns = []
    for name in headline(results):
        found = [results.figure(outcome, name) for outcome in rows]
        top = best(results, name)
        cells = [_bold(_with_interval(figure, name), figure is not None and figure.value == top) for figure in found]
        columns.append((label(results, name), cells))
    size = f"{len(results.people):,} users, {len(results.people.catalogue):,} pictures"
    tables = _tables(f"{results.data}, {results.part}: {size}", [o.row for o in rows], columns, width)
    if any(outcome.condition.control for outcome in results.outcomes):
        tables += _tables(
            "controls: a personal predictor must lose its lead here",
            results.predictors,
            _control_columns(results),
            width,
        )
    if any(outcome.condition.shown for outcome in results.outcomes):
        tables += _tables(
            "whole histories beside pictures shown at random", results.predictors, _shown_columns(results), width
        )
    return tables


def _shown_columns(results: Results) -> list[tuple[str, list[str]]]:
    found = _metrics(results)
    shown = list(dict.fromkeys(o.condition for o in results.outcomes if o.condition.shown))
    columns = []
    for name in [name for name in PERSONAL if name in found][:2]:
        for condition in [FULL, *shown]:
            outcomes = [results.find(predictor, condition) for predictor in results.predictors]
            found_by = [None if o is None else results.figures.get(results.key(o, name)) for o in outcomes]
            title = f"shown @{condition.shots}" if condition.shown else describe(name).label
            columns.append((title, [_with_interval(figure, name) for figure in found_by]))
    return columns


def _control_columns(results: Results) -> list[tuple[str, list[str]]]:
    found = _metrics(results)
    controls = list(dict.fromkeys(o.condition.control for o in results.whole_histories(controls=True)))
    columns = []
    for name in [name for name in PERSONAL if name in found][:2]:
        for control in controls:
            outcomes = [results.find(predictor, Condition(control=control)) for predictor in results.predictors]
            found_by = [None if o is None else results.figures.get(results.key(o, name)) for o in outcomes]
            cells = [_with_interval(figure, name) for figure in found_by]
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


def _metrics(results: Results) -> set[str]:
    return {key.split("/")[-1].split("@")[0] for key in results.figures}


def _with_interval(figure: Figure | None, metric: str = "") -> str:
    """A figure with half the width of its 95 % interval."""
    if figure is None:
        return ""
    return formatted(figure.value, metric) + (
        f" ±{(figure.high - figure.low) / 2:.3f}" if figure.low == figure.low else ""
    )


def _bold(text: str, yes: bool) -> str:
    return f"[bold]{text}[/bold]" if yes else text


def _plain(text: str) -> str:
    return text.removeprefix("[bold]").removesuffix("[/bold]")
