"""The pipeline's side of `sluice_ml`: reads training sets and features, records candidates, predictions and measurements.

`sluice_ml` itself knows neither tables nor ledger.
"""
