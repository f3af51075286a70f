"""Metrics: how good rankings and representations are."""
