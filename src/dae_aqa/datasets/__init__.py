"""Adapters: every dataset becomes one annotations table."""
