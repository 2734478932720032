"""Models: backbones, heads, losses and the files that hold their weights."""
