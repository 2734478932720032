"""What every stage shares while it runs: log, progress, and how it ends."""
