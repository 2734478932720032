"""What every stage shares while it runs: places, log, progress, retries, and how it ends."""
