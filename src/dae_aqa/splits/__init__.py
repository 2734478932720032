"""Splits: which samples train, which choose the epoch, which are tested once."""
