"""Says at the end how many faults there were."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts are properties of tests, so that they come from all processes."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if report.when == "call":
            counts.update({key: int(str(n)) for key, n in report.user_properties if key in ("faults", "survived")})
    if counts["faults"]:
        share = counts["survived"] / counts["faults"]
        terminalreporter.write_line(
            f"{counts['survived']} of {counts['faults']} injected faults survived ({share:.0%})"
        )
