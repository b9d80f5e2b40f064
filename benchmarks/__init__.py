"""Measurements, as ratios against a floor in the same run. `python -m benchmarks --help`; docs/performance.md.

A floor does the same work with nothing around it. A ratio against it says what the platform costs; seconds alone say
as much about the machine. Measured and floor take turns, so that a busy machine slows both.
"""
