"""Protocols, metrics, controls and reports for any predictor."""
