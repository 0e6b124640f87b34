"""Verifying a restored film: what is the source's own is told from what isn't, by hash."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from codec_plugin import Origin, restore, verify
from tests.codings import BLEND, FAST, H264, HEVC, LENGTH, kept_of, spliced
from tests.makers import CommandLine, write_clip


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, run in a folder."""
    return CommandLine(tmp_path, capsys)


def test_verify_tells_a_film_that_was_tampered_with(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    spliced(source, tmp_path / "good.mp4")
    with av.open(str(tmp_path / "good.mp4")) as container, av.open(str(tmp_path / "bad.mp4"), "w") as output:
        copy = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size and number != 2:  # a reference of the first GOP is gone
                packet.stream = copy
                output.mux(packet)

    found = verify(source, tmp_path / "bad.mp4")

    assert any("is missing" in failure for failure in found.failures)
    assert any("decodes otherwise" in failure or "cleanly" in failure for failure in found.failures)


def test_a_whole_encode_is_told_from_a_splice(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    restore(source, tmp_path / "out.mp4", options=BLEND, job=FAST)

    found = verify(source, tmp_path / "out.mp4")

    assert found.failures == ()
    assert found.count(found.packets) == {Origin.COPIED: 0, Origin.REENCODED: LENGTH - 1, Origin.MADE: 1}


def test_verify_tells_another_picture_from_one_that_was_encoded_again(tmp_path: Path) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped=())
    with av.open(str(source)) as container, av.open(str(tmp_path / "bad.mp4"), "w") as output:
        video = container.streams.video[0]
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = video.time_base
        for number, frame in enumerate(container.decode(video)):
            if number == 20:
                luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
                luma[: frame.height // 4, : frame.width // 4] = 255 - luma[: frame.height // 4, : frame.width // 4]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    found = verify(source, tmp_path / "bad.mp4")

    assert len(found.failures) == 1
    assert "another picture than the source's" in found.failures[0]


def test_verify_says_of_two_different_films_that_they_are_and_lists_no_faults(
    command: CommandLine, tmp_path: Path
) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    others = {
        "real.mp4": H264.write(tmp_path / "real.mp4", real=True),
        "later.mp4": write_clip(tmp_path / "later.mp4", rate=H264.rate, frames=range(500, 500 + LENGTH)),
    }
    for name, other in others.items():
        said = command.refused("verify", source, other)

        assert "are different films" in said
        assert name in said
        assert "missing" not in said


def test_verify_shows_how_many_packets_and_frames_are_copied_encoded_again_and_made(
    command: CommandLine, tmp_path: Path
) -> None:
    source = H264.write(tmp_path / "in.mp4", dropped={17})
    report = spliced(source, tmp_path / "out.mp4")

    ran = command.done("verify", source, tmp_path / "out.mp4")

    rows = [line.split() for line in ran.out.splitlines()]
    kept, total = kept_of(report)
    assert ["copied", "re-encoded", "made"] in rows
    assert ["packets", str(kept), str(total - kept), "1"] in rows
    assert any(row[:1] == ["frames"] and row[-1] == "1" for row in rows)
    assert "marked in the stream as made: 1 by blend" in ran.out


def test_verify_fails_where_frames_of_the_source_are_missing(command: CommandLine, tmp_path: Path) -> None:
    source, less = H264.write(tmp_path / "in.mp4", dropped=()), HEVC.write(tmp_path / "less.mp4", dropped={30})

    said = command.refused("verify", source, less)

    assert "2 things are not as they must be, the first: " in said
    assert "is missing" in said
