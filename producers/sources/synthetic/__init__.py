"""Pictures drawn on the spot: workpieces on a conveyor belt, with or without a defect, and their true label."""

from producers.sources.synthetic.source import SyntheticSource

__all__ = ["SyntheticSource"]
