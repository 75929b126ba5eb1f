"""Parts of PromQL that panels have in common."""

#: Of the time between two points, and at least four scrapes.
RATE = "$__rate_interval"


def rate(metric: str, labels: str) -> str:
    """Return a counter's growth per second; `labels` choose series."""
    return f"rate({metric}{{{labels}}}[{RATE}])"


def increase(metric: str, labels: str) -> str:
    """Return a counter's growth between two points."""
    return f"increase({metric}{{{labels}}}[{RATE}])"


def quantile(share: float, histogram: str, labels: str, *by: str) -> str:
    """Return what `share` of a histogram's values do not exceed, for each value of the labels `by`."""
    return f"histogram_quantile({share:g}, sum by ({', '.join(('le', *by))}) ({rate(f'{histogram}_bucket', labels)}))"


def mean(histogram: str, labels: str, *by: str) -> str:
    """Return the mean of a histogram's values, for each value of the labels `by`."""
    total, count = (f"sum by ({', '.join(by)}) ({rate(f'{histogram}_{part}', labels)})" for part in ("sum", "count"))
    return f"{total} / {count}"
