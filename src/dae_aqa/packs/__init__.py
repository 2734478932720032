"""Packs: the frames of a sample in one file."""
