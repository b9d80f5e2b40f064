"""Sluice: every row, model and prediction is published with evidence, or held with a reason and a way back."""

__version__ = "0.2.0"
