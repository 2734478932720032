"""The HTTP service: clips in, scores out, and a page for those who want no shell."""
