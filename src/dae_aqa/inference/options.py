"""Choices of how a network computes."""

from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
