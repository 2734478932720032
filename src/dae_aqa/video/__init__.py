"""Video: from a file to exact frames, by number."""
