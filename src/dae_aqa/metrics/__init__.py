"""Metrics: pure functions from predictions to figures."""
