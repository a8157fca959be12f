"""Training data in ZIPs of limited size, for machines that take only so much at a time.

Each ZIP holds whole files under their folder's name, so that the unpacked folders are what `--images` and
`--videos` take.  A picture and its mask stay together.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from stm_core.errors import OptionError


def pack(folders: list[Path], out: Path, limit: int) -> list[Path]:
    """Writes the files of `folders` as ZIPs of at most `limit` bytes; returns their paths.

    Raises OptionError when a folder is empty or one picture alone is over the limit.
    """
    out.mkdir(parents=True, exist_ok=True)
    shards: list[list[tuple[Path, str]]] = [[]]
    filled = 0
    for folder in folders:
        for group in _groups(folder):
            size = sum(path.stat().st_size + 200 + 2 * len(name) for path, name in group)  # ZIP's own entry
            if size > limit:
                raise OptionError(
                    f"{group[0][0]} takes {size:,} bytes, a ZIP may have {limit:,}; give a larger --mb"
                )
            if filled + size > limit:
                shards.append([])
                filled = 0
            shards[-1] += group
            filled += size
    paths = [out / f"shard{number:02}.zip" for number in range(len(shards))]
    for path, files in zip(paths, shards, strict=True):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for source, name in files:
                archive.write(source, name)
    return paths


def _groups(folder: Path) -> list[list[tuple[Path, str]]]:
    """Files that belong together (a picture and its masks), each with its name in the ZIP."""
    folder = folder.resolve()
    groups: dict[tuple[str, str], list[tuple[Path, str]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = path.parent.name if path.parent.name not in ("images", "masks", "masks_parts") else ""
        groups.setdefault((place, path.stem), []).append(
            (path, str(Path(folder.name) / path.relative_to(folder)))
        )
    if not groups:
        raise OptionError(
            f"{folder} has no files to pack; give a folder as for --images or --videos of training"
        )
    return list(groups.values())
