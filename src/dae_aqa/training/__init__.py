"""The training engine: one visible loop, resumable and repeatable."""
