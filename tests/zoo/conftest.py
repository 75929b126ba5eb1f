"""The table of what became of each classifier."""

import pytest

_COLUMNS = ("opset", "dynamic batch", "max|Δ|/max|y|", "same top class")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each classifier, where they are what was asked for."""
    if terminalreporter.config.getoption("markexpr") != "zoo":
        return
    rows: list[tuple[str, ...]] = [("classifier", *_COLUMNS, "seconds", "")]
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            noted = dict(report.user_properties)
            if "classifier" in noted and (report.when == "call" or outcome != "passed"):
                values = [str(noted.get(column, "-")) for column in _COLUMNS]
                rows.append((str(noted["classifier"]), *values, f"{report.duration:.1f}", outcome))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.write_sep("=", f"{len(rows) - 1} classifiers")
    for row in rows:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
