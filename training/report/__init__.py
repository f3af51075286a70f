"""The report on a run: one self-contained HTML page of figures, curves, attention, examples and their reasons."""

from training.report.page import write_report

__all__ = ["write_report"]
