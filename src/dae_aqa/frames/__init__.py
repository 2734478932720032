"""Frames: from a video file to one packed file per sample, exact, fast and safe.

`probe` looks at a video, `index` numbers its frames without decoding, `decode` reads frames by
number, `window` says which frames a sample has, `store` is the packed file, `cache` keeps finished
work and `extract` puts them together. Only `store` is needed to read what extraction wrote, and it
imports neither PyAV nor OpenCV.
"""
