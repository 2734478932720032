"""Hashes, against published test vectors and the standard library."""

import hashlib
from pathlib import Path

import pytest

from dae_aqa.files.hashing import file_md5, file_sha256, short_hash, value_sha256

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.mark.parametrize(
    ("content", "sha256", "md5"),
    [  # Source: NIST FIPS 180-4 examples; RFC 1321, A.5
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "900150983cd24fb0d6963f7d28e17f72",
        ),
        (
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
    ],
    ids=["abc", "empty"],
)
def test_files(tmp_path: Path, content: bytes, sha256: str, md5: str):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_sha256(path) == sha256
    assert file_md5(path) == md5


def test_values_count_and_the_order_of_keys_does_not():
    """The keys of finished samples and rendered videos: another formula would make all anew."""
    expected = hashlib.sha256(b'{"a": [1, "x"], "b": 0.5}').hexdigest()
    assert value_sha256({"b": 0.5, "a": (1, "x")}) == expected
    assert value_sha256({"b": 0.5, "a": [1, "y"]}) != expected


def test_texts_are_told_apart_from_their_sum():
    assert short_hash("a", "b") == hashlib.sha256(b"a\0b").hexdigest()[:16]
    assert short_hash("ab") != short_hash("a", "b")


def test_files_are_hashed_in_one_place():
    users = [path.name for path in SRC.rglob("*.py") if "file_digest" in path.read_text("utf-8")]
    assert users == ["hashing.py"]
