"""Extraction: from videos to packed samples."""
