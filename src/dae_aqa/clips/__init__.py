"""From packed frames to the clips that a backbone sees."""
