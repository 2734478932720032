"""Choices that concern videos."""

from typing import Literal

Numbering = Literal["decoded", "reference"]

# the kernels of swscale that are low-pass when they shrink
ResizeFilter = Literal["area", "bilinear", "bicubic", "lanczos"]

# Source: the hardware devices that FFmpeg knows (libavutil/hwcontext.c); a machine has few of them
HWACCELS = (
    *("amf", "cuda", "d3d11va", "d3d12va", "drm", "dxva2", "mediacodec", "opencl", "qsv"),
    *("vaapi", "vdpau", "videotoolbox", "vulkan"),
)
