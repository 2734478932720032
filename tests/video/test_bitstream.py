"""What packets say, on bytes written by hand after the standards."""

from __future__ import annotations

import pytest

from dae_aqa.video.bitstream import (
    is_clean_start,
    is_skippable,
    may_hold_fields,
    nal_length_size,
    num_head_packets,
    shows_a_picture,
)

START = b"\0\0\0\x01"


def sized(*units: bytes) -> bytes:
    """Return NAL units as MP4 holds them: each after its length in four bytes."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def layer(*, is_interlaced: bool, has_control: bool = False) -> bytes:
    """Return an MPEG-4 video object layer of 160×96 pixels (ISO/IEC 14496-2, 6.2.3)."""
    bits = "0" + f"{1:08b}" + "0" + f"{1:04b}"  # access, type, no identifier, square pixels
    bits += "1" + "01" + "0" + "0" if has_control else "0"  # 4:2:0, B-pictures, no buffer model
    bits += "00" + "1" + f"{25:016b}" + "1" + "0"  # rectangular, 25 ticks, no fixed rate
    bits += "1" + f"{160:013b}" + "1" + f"{96:013b}" + "1" + str(int(is_interlaced))
    bits += "1" * (-len(bits) % 8 + 8)
    return b"\0\0\x01\x20" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


@pytest.mark.parametrize("has_control", [False, True])
def test_interlaced_mpeg4_with_its_header_is_no_clean_start(has_control: bool) -> None:
    picture = b"\0\0\x01\xb6\x10\x20"
    for is_interlaced in (False, True):
        header = layer(is_interlaced=is_interlaced, has_control=has_control)
        assert is_clean_start("mpeg4", header + picture, 0) is not is_interlaced
    assert is_clean_start("mpeg4", picture, 0)
    assert not is_clean_start("mpeg4", header[:8], 0)  # cut off: not known


@pytest.mark.parametrize(
    ("kind", "clean"),
    [(1, False), (15, False), (16, True), (21, True), (23, True), (24, False), (32, False)],
)
def test_hevc_begins_at_irap_pictures(kind: int, clean: bool) -> None:
    # H.265 table 7-1: 16 to 23 are IRAP; a unit begins with 0 and 6 bits of type
    assert is_clean_start("hevc", sized(bytes([kind << 1, 1, 0x80])), 4) is clean


@pytest.mark.parametrize(
    ("unit", "clean"),
    [
        (b"\x65\x88", True),  # IDR
        (b"\x41\x9a", False),
        (b"\x06\x06\x01\xc4\x80", True),  # recovery point after 0 pictures
        (b"\x06\x06\x01\x44\x80", False),  # … after some
        (b"\x06\x05\x02\x80\x80\x06\x01\x80\x80", True),  # behind another message
        (b"\x06\x05\xff\x01" + 256 * b"\x80" + b"\x06\x01\x80\x80", True),  # … of 256 bytes
    ],
)
def test_h264_begins_at_idr_pictures_and_recovery_points(unit: bytes, clean: bool) -> None:
    assert is_clean_start("h264", sized(b"\x41\x9a", unit), 4) is clean
    assert is_clean_start("h264", START + b"\x41\x9a" + START + unit, 0) is clean


def test_how_much_of_the_start_a_decoder_must_see() -> None:
    named = b"\x06\x05\x12" + 16 * b"\x11" + b"x2\x80"
    assert num_head_packets("h264", sized(named, b"\x65\x88"), 4) == 1
    assert num_head_packets("h264", sized(b"\x06\x01\x01\x80\x80", b"\x65\x88"), 4) == 0
    assert num_head_packets("h264", sized(b"\x65\x05\x02\x80\x80"), 4) == 0  # a slice, no message
    assert num_head_packets("mpeg4", b"\0\0\x01\xb6\x10", 0) > 2  # I, P, B
    assert num_head_packets("vp9", b"\x82\x49", 0) == 0


def test_pictures_that_others_refer_to_are_not_skipped() -> None:
    assert is_skippable("h264", sized(b"\x01\x9a"), 4)
    assert is_skippable("h264", sized(b"\x09\x30", b"\x01\x9a", b"\x01\x9a"), 4)
    assert not is_skippable("h264", sized(b"\x21\x9a"), 4)
    assert not is_skippable("h264", sized(b"\x01\x9a", b"\x65\x88"), 4)
    assert is_skippable("mpeg4", b"\0\0\x01\xb6\x50", 0)
    assert not is_skippable("hevc", sized(b"\x02\x01\x80"), 4)


@pytest.mark.parametrize(
    ("codec", "data", "shown"),
    [
        ("vp8", b"\x10\0\0", True),  # RFC 6386, 9.1: bit 4 is show_frame
        ("vp8", b"\x01\0\0", False),
        ("vp9", b"\x82\x49\x83", True),  # frame marker 2, profile 0, key frame, shown
        ("vp9", b"\x84\x49\x83", False),  # not shown
        ("vp9", b"\x88\x00", True),  # an earlier one is shown
        ("vp9", b"\x84\x00\xc0", True),  # superframe: the last of its frames is shown
        ("vp9", b"\xb1\x00", True),  # profile 3 has one bit more
        ("vp9", b"\xb2\x00", False),
        ("mpeg4", 24 * b"\0", False),  # so small that it may be "not coded"
        ("mpeg4", 25 * b"\0", True),
        ("h264", b"\0", True),
        ("h264", b"", False),
    ],
)
def test_which_packets_show_a_picture(codec: str, data: bytes, shown: bool) -> None:
    assert shows_a_picture(codec, memoryview(data)) is shown


def unsigned(number: int) -> str:
    """Return an Exp-Golomb code (ITU-T H.264, 9.1)."""
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits


def signed(number: int) -> str:
    """Return a signed Exp-Golomb code (ITU-T H.264, 9.1.1)."""
    return unsigned(2 * number - 1 if number > 0 else -2 * number)


SCALING_LISTS = "1" + signed(-8) + 5 * "0" + "1" + 64 * signed(0) + "0"  # H.264 7.3.2.1.1.1
ORDER_COUNTS = {
    0: unsigned(0) + unsigned(2),
    1: unsigned(1) + "0" + signed(-3) + signed(2) + unsigned(2) + signed(5) + signed(-1),
    2: unsigned(2),
}


def sequence(*, high: str | None, order_count_type: int, is_frames_only: bool) -> bytes:
    """Return a sequence parameter set unit (ITU-T H.264, 7.3.2.1.1)."""
    bits = f"{77 if high is None else 100:08b}" + "01000000" + f"{30:08b}" + unsigned(0)
    if high is not None:  # 4:2:0, 8 bits, then the scaling lists
        bits += unsigned(1) + 2 * unsigned(0) + "0" + high
    bits += unsigned(4) + ORDER_COUNTS[order_count_type]
    bits += unsigned(4) + "0" + unsigned(9) + unsigned(5) + str(int(is_frames_only))
    bits += "1" * (-len(bits) % 8 + 8)
    unit = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return b"\x67" + unit.replace(b"\0\0", b"\0\0\x03")


@pytest.mark.parametrize("is_frames_only", [True, False])
@pytest.mark.parametrize("order_count_type", [0, 1, 2])
@pytest.mark.parametrize("high", [None, "0", "1" + SCALING_LISTS], ids=["main", "high", "lists"])
def test_streams_that_may_code_fields_apart(
    high: str | None, order_count_type: int, is_frames_only: bool
) -> None:
    unit = sequence(high=high, order_count_type=order_count_type, is_frames_only=is_frames_only)
    record = b"\x01\x64\x00\x1e\xff\xe1" + len(unit).to_bytes(2, "big") + unit
    assert may_hold_fields("h264", record) is not is_frames_only
    assert may_hold_fields("h264", START + unit) is not is_frames_only
    assert may_hold_fields("h264", START + unit[:4])  # cut off: not known


def test_streams_without_a_header_may_code_fields_apart() -> None:
    assert may_hold_fields("h264", None)
    assert not may_hold_fields("hevc", None)


def test_length_of_nal_units() -> None:
    # ISO/IEC 14496-15: the two lowest bits of byte 4 (avcC), of byte 21 (hvcC), plus one
    assert nal_length_size(b"\x01\x64\x00\x1e\xff\xe1\x00") == 4
    assert nal_length_size(b"\x01\x64\x00\x1e\xfd\xe1\x00") == 2
    assert nal_length_size(b"\x01\x01" + 19 * b"\0" + b"\x0f\x00") == 4
    assert nal_length_size(b"\0\0\0\x01\x67\x64\x00") == 0
    assert nal_length_size(None) == 0
