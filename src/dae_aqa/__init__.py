"""Action quality assessment with distribution auto-encoders, from video to scored report."""

__version__ = "0.1.0"
