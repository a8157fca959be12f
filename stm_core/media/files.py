"""Files that are whole or not there, and the sentence for a disk that refuses."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from stm_core.errors import VideoError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name of its own beside it, then rename.

    Raises VideoError when the disk refuses.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def disk_error(path: Path, error: OSError) -> VideoError:
    """The sentence for a refused write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VideoError(
            f"the disk is full while writing {path}; what was finished is kept, free some space and run again"
        )
    return VideoError(f"cannot write {path}: {error.strerror or error}; check its folder")
