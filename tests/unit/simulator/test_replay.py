"""The file of a recording: what is written is read; a damaged file is refused or ends early."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.replay import (
    HEADER,
    MAX_FRAME_BYTES,
    BadRecordingError,
    RecordedFrame,
    check_recording,
    cut_frame,
    encode_entry,
    read_recording,
)
from simulator.stream.packets import MALFORMED_FRAMES, container

FRAMES = st.lists(st.builds(RecordedFrame, st.integers(0, 2**64 - 1), st.binary(max_size=40)), max_size=5)


def write(path: Path, frames: list[RecordedFrame], *, tail: bytes = b"") -> Path:
    path.write_bytes(HEADER + b"".join(encode_entry(frame) for frame in frames) + tail)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=FRAMES, cut=st.integers(1, 11))
def test_written_frames_are_read_up_to_an_incomplete_entry(
    tmp_path: Path, frames: list[RecordedFrame], cut: int
) -> None:
    """The head or the frame of the last entry may be incomplete."""
    last = encode_entry(RecordedFrame(1, b"abc"))
    assert list(read_recording(write(tmp_path / "file", frames, tail=last[:-cut]))) == frames


def test_the_file_has_the_documented_bytes(tmp_path: Path) -> None:
    """Header line, microseconds in eight bytes, length in four, the frame."""
    path = write(tmp_path / "file", [RecordedFrame(1_700_000_000_000_001, b"\x00\x00")])
    assert path.read_bytes() == b"KITEFRAMES 1\n" + struct.pack(">QI", 1_700_000_000_000_001, 2) + b"\x00\x00"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a recording"),
        (b"KITEFRAMES 2\n", "not a recording"),
        (HEADER, "there is no whole frame"),
        (HEADER + struct.pack(">QI", 1, MAX_FRAME_BYTES + 1) + b"x", "the file is damaged"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """The error has the file's name and the reason."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(BadRecordingError, match=f"{path}: .*{reason}"):
        check_recording(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error has the operating system's text."""
    with pytest.raises(BadRecordingError, match="none: No such file"):
        check_recording(tmp_path / "none")


def test_a_frame_above_the_bound_is_not_written() -> None:
    """A container cannot be so large."""
    with pytest.raises(ValueError, match="is above"):
        encode_entry(RecordedFrame(1, bytes(MAX_FRAME_BYTES + 1)))


def test_a_frame_is_cut_into_its_packets() -> None:
    """A damaged one up to the damage, without an error."""
    packets = [b"\x00\x06\x3a\x01\x00\x02\x49\xf0", b"\x00\x0b\x43\xc1\x00\x02\x49\xf0"]
    frame = container(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets), count=2)
    assert cut_frame(frame) == packets
    assert cut_frame(frame[:-1]) == packets[:1]
    assert cut_frame(b"\x00") == []
    assert max(len(cut_frame(garbage)) for garbage in MALFORMED_FRAMES) == 1
