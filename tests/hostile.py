"""What the tests of bad files share."""

from pathlib import Path

import pytest

from stm_core.errors import VideoError
from stm_core.media.video import probe, read_video


def refused(path: Path, *words: str, kind: type = VideoError, **options) -> str:
    """The sentence with which `probe` and `read_video` refuse a file; all words are in it."""
    sentences = []
    for attempt in (lambda: probe(path, **options), lambda: list(read_video(path, **options))):
        with pytest.raises(kind) as caught:
            attempt()
        sentences.append(str(caught.value))
        assert "\n" not in sentences[-1] and len(sentences[-1]) < 300
        for word in words:
            assert word in sentences[-1]
    return sentences[-1]


def put(folder: Path, name: str, data: bytes) -> Path:
    """A file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path
