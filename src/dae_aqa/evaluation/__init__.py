"""The evaluate stage: from the test samples to predictions, metrics and report."""
