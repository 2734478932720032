"""Inference: a trained model, what it is fed with, and its predictions."""
