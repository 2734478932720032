"""Headers that are read bit by bit: of H.264 sequences and of MPEG-4 video object layers."""

from __future__ import annotations

_H264_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def unescape(unit: bytes) -> bytes:
    """Return a NAL unit without emulation prevention bytes (H.264 7.4.1.1)."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")


def is_frames_only(unit: bytes) -> bool:
    """Return `frame_mbs_only_flag` of a sequence parameter set (H.264 7.3.2.1.1)."""
    bits = _Bits(unescape(unit)[1:])
    profile = bits.bits(8)
    bits.bits(8 + 8)  # constraints, level
    bits.unsigned()  # id
    if profile in _H264_HIGH_PROFILES:
        _skip_high_profile(bits)
    bits.unsigned()  # log2_max_frame_num
    order_count_type = bits.unsigned()
    if order_count_type == 0:
        bits.unsigned()
    elif order_count_type == 1:
        bits.bit()
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # reference frames
    bits.bit()  # gaps allowed
    bits.unsigned()  # width
    bits.unsigned()  # height
    return bool(bits.bit())


def is_interlaced_layer(unit: bytes) -> bool:
    """Return `interlaced` of a video object layer; True where it cannot be read.

    Source: ISO/IEC 14496-2, 6.2.3 (VideoObjectLayer).
    """
    bits = _Bits(unit[1:])
    try:
        bits.bits(1 + 8)
        has_identifier = bits.bit()
        version = bits.bits(7) >> 3 if has_identifier else 1
        if bits.bits(4) == 15:  # extended aspect ratio
            bits.bits(16)
        if bits.bit():  # control parameters
            bits.bits(3)
            if bits.bit():
                bits.bits(79)
        shape = bits.bits(2)
        if shape == 3 and version != 1:  # greyscale
            bits.bits(4)
        bits.bit()
        resolution = bits.bits(16)
        bits.bit()
        if bits.bit():  # fixed rate
            bits.bits(max((resolution - 1).bit_length(), 1))
        if shape == 0:  # rectangular: width and height
            bits.bits(1 + 13 + 1 + 13 + 1)
        return bool(bits.bit())
    except IndexError:
        return True


class _Bits:
    """Reads bits and Exp-Golomb codes (H.264 9.1)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def bit(self) -> int:
        byte = self._data[self._position >> 3]
        bit = byte >> (7 - (self._position & 7)) & 1
        self._position += 1
        return bit

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit()
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.bit():
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _skip_high_profile(bits: _Bits) -> None:
    """Skip the chroma format, bit depths and scaling lists of a sequence parameter set."""
    chroma = bits.unsigned()
    if chroma == 3:
        bits.bit()
    bits.unsigned()  # bit depth of luma
    bits.unsigned()  # bit depth of chroma
    bits.bit()
    if bits.bit():
        for index in range(12 if chroma == 3 else 8):
            if bits.bit():
                _skip_scaling_list(bits, 16 if index < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed() + 256) % 256
        last = following or last
