"""What a packet's bytes say about it: may decoding begin here, does it show a picture?

Containers also mark keyframes from which decoding cannot begin (H.264 with intra refresh), and hold
packets that show nothing (VP8 and VP9 reference frames, MPEG-4 pictures that are not coded).
"""

from __future__ import annotations

from dae_aqa.video.headers import is_frames_only, is_interlaced_layer, unescape

# Codecs in which every packet is one picture, those aside for which `shows_a_picture` is False.
# A video of another codec is decoded once to number its frames.
ONE_PICTURE_PER_PACKET = frozenset(
    [
        *("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mjpeg", "gif", "png"),
        *("ffv1", "prores", "dnxhd", "huffyuv", "rawvideo"),
    ]
)
MAY_SHOW_NOTHING = frozenset(["vp8", "vp9", "mpeg4"])
_H264_SLICES = range(1, 6)  # NAL unit types, ITU-T H.264 table 7-1
_H264_IDR, _H264_SEI, _H264_SPS = 5, 6, 7
_USER_DATA, _RECOVERY_POINT = 5, 6  # SEI payload types, ITU-T H.264 D.1
# They nearly always hold the first B-picture, from which the decoder learns how long a field lasts.
_NUM_MPEG4_HEAD_PACKETS = 16
_MPEG4_LAYER = 2  # start codes 0x20 to 0x2F, ISO/IEC 14496-2 table 6-3
_HEVC_IRAP = range(16, 24)  # NAL unit types, ITU-T H.265 table 7-1
# No MPEG-4 picture that is marked "not coded" is larger; nearly all coded ones are.
_MAX_NOT_CODED_BYTES = 24


def nal_length_size(extradata: bytes | None) -> int:
    """Return in how many bytes a NAL unit's length is written; 0 where start codes part the units.

    Source: ISO/IEC 14496-15, 5.3.3.1 (avcC, byte 4) and 8.3.3.1 (hvcC, byte 21).
    """
    if not extradata or extradata[0] != 1 or len(extradata) < 7:
        return 0
    if len(extradata) > 22 and extradata[4] & 0xFC != 0xFC:
        return (extradata[21] & 3) + 1
    return (extradata[4] & 3) + 1


def nal_units(data: bytes, length_size: int) -> list[bytes]:
    """Return the NAL units of a packet, without start codes or lengths."""
    units = []
    if length_size:
        position = 0
        while position + length_size < len(data):
            size = int.from_bytes(data[position : position + length_size], "big")
            position += length_size
            units.append(data[position : position + size])
            position += size
    else:
        units = [unit for unit in data.split(b"\x00\x00\x01")[1:] if unit]
    return [unit for unit in units if unit]


def is_clean_start(codec: str, data: bytes, length_size: int) -> bool:
    """Say whether decoding from this keyframe packet gives every later picture exactly.

    An H.264 packet must hold an IDR picture, or a recovery point with `recovery_frame_cnt` 0. An
    HEVC packet must hold an IRAP picture. An MPEG-4 packet must not hold the header of an
    interlaced layer: FFmpeg then forgets how long a field lasts, and would learn it from the next
    B-picture, which after a seek has no picture to count from. Keyframes of other codecs are clean.
    """
    if codec == "h264":
        units = nal_units(data, length_size)
        return any(unit[0] & 31 == _H264_IDR or _recovers_at_once(unit) for unit in units)
    if codec == "hevc":
        return any((unit[0] >> 1) & 63 in _HEVC_IRAP for unit in nal_units(data, length_size))
    if codec == "mpeg4":
        layers = [unit for unit in nal_units(data, 0) if unit[0] >> 4 == _MPEG4_LAYER]
        return not any(is_interlaced_layer(unit) for unit in layers)
    return True


def num_head_packets(codec: str, first_packet: bytes, length_size: int) -> int:
    """Return how many packets of the file's start a decoder must see before it begins elsewhere.

    An encoder writes its name and version once, and FFmpeg works around the faults that it knows:
    of x264 (named in an SEI unit before the first picture; without it, 4:4:4 of builds below 151
    cannot be decoded), of DivX, Xvid and of its own MPEG-4 encoder. Interlaced MPEG-4 also needs
    the times of the first B-picture.

    Source: FFmpeg 8.0, libavcodec/h264_sei.c (`x264_build`), libavcodec/mpeg4videodec.c
    (`ff_mpeg4_workaround_bugs`, `t_frame`).
    """
    if codec == "h264":
        units = nal_units(first_packet, length_size)
        return int(any(_USER_DATA in _sei_payloads(unit) for unit in units))
    return _NUM_MPEG4_HEAD_PACKETS if codec == "mpeg4" else 0


def is_skippable(codec: str, data: bytes, length_size: int) -> bool:
    """Say whether the decoder may skip this packet if nobody asks for its picture.

    An H.264 packet must hold no slice of a reference picture, since a decoder that skips does not
    report a damaged one. An MPEG-4 decoder sees by itself what it may skip. HEVC packets are never
    skipped: a "sub-layer non-reference" picture may still be a reference for a higher temporal
    layer (ITU-T H.265, 7.4.2.2).
    """
    if codec == "h264":
        slices = [unit for unit in nal_units(data, length_size) if unit[0] & 31 in _H264_SLICES]
        return not any(unit[0] >> 5 & 3 for unit in slices)  # nal_ref_idc
    return codec == "mpeg4"


def shows_a_picture(codec: str, data: bytes | memoryview) -> bool:
    """Say whether a packet surely gives one picture; where it is False, only decoding can tell."""
    if len(data) == 0:
        return False
    if codec == "vp8":  # Source: RFC 6386, 9.1 (show_frame)
        return bool(data[0] >> 4 & 1)
    if codec == "vp9":  # Source: VP9 bitstream specification 0.6, 6.2 and annex B
        is_superframe = data[-1] >> 5 == 0b110
        profile = (data[0] >> 5 & 1) | (data[0] >> 4 & 1) << 1
        bits = data[0] << (1 if profile == 3 else 0)
        show_existing, show = bits >> 3 & 1, bits >> 1 & 1
        return is_superframe or bool(show_existing or show)
    if codec == "mpeg4":
        return len(data) > _MAX_NOT_CODED_BYTES
    return True


def may_hold_fields(codec: str, extradata: bytes | None) -> bool:
    """Say whether an H.264 stream may code the two fields of a picture in two packets."""
    if codec != "h264":
        return False
    if not extradata:
        return True
    size = nal_length_size(extradata)
    units = _avcc_units(extradata) if size else nal_units(extradata, 0)
    sets = [unit for unit in units if unit[0] & 31 == _H264_SPS]
    try:
        return not sets or not all(is_frames_only(unit) for unit in sets)
    except IndexError:
        return True


def _avcc_units(extradata: bytes) -> list[bytes]:
    """Return the sequence parameter sets of an avcC record (ISO/IEC 14496-15, 5.3.3.1)."""
    units, position = [], 6
    for _ in range(extradata[5] & 31):
        size = int.from_bytes(extradata[position : position + 2], "big")
        units.append(extradata[position + 2 : position + 2 + size])
        position += 2 + size
    return [unit for unit in units if unit]


def _recovers_at_once(unit: bytes) -> bool:
    """Say whether a unit holds a recovery point with `recovery_frame_cnt` 0 (H.264 D.1.8)."""
    payload = _sei_payloads(unit).get(_RECOVERY_POINT)
    return bool(payload and payload[0] & 0x80)  # ue(v) 0 is the single bit 1


def _sei_payloads(unit: bytes) -> dict[int, bytes]:
    """Return the payloads of an SEI unit by type; empty for another unit (H.264 7.3.2.3)."""
    if unit[0] & 31 != _H264_SEI:
        return {}
    found: dict[int, bytes] = {}
    data = unescape(unit)
    position = 1
    while position + 2 < len(data):
        kind, position = _sei_number(data, position)
        size, position = _sei_number(data, position)
        found.setdefault(kind, data[position : position + size])
        position += size
    return found


def _sei_number(data: bytes, position: int) -> tuple[int, int]:
    """Return a payload's type or size, and the position after it (H.264 7.3.2.3.1)."""
    number = 0
    while data[position : position + 1] == b"\xff":
        number, position = number + 255, position + 1
    last = data[position : position + 1] or b"\0"
    return number + last[0], position + 1
