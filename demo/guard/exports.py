"""Files that a visitor downloads: overlay, masks in two forms, cut-outs, and a ZIP of everything, from which
the work can be resumed.

These are jobs of the guarded process (demo.guard), because each of them reads the visitor's clip again.  A
job yields its progress and writes `out` whole or not at all.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from demo.guard.reading import read_again, recall
from stm_core.errors import LimitError, VideoError
from stm_core.export.finished_run import Result
from stm_core.export.order import Options
from stm_core.export.pngs import binary
from stm_core.export.registry import formats_of
from stm_core.export.writing import export_file
from stm_core.masks.mask_files import encode_mask, object_ids, read_labels
from stm_core.media.files import Whole, write_whole
from stm_core.media.limits import NO_LIMITS
from stm_core.media.video import probe
from stm_core.media.write import VideoWriter
from stm_core.runs.compare_film import film_size, side_by_side

SESSION = "session.json"
MASK_NAME = re.compile(r"(masks|prompts)/\d{5}\.png")
FILMS = {"overlay": "overlay-mp4", "alpha": "rgba-webm", "green": "green-mp4"}  # formats of the films
KINDS = {
    "overlay": "overlay.mp4",
    "palette": "masks_palette.zip",
    "binary": "masks_binary.zip",
    "alpha": "cutout_alpha.webm",
    "green": "cutout_green.mp4",
    "report": "report.json",
    "everything": "session.zip",
}


def export(
    clip: str,
    folder: str,
    out: str,
    frames: list[int],
    which: str,
    objects: list[tuple[int, str]],
    name: str,
    options: dict,
) -> Iterator[dict]:
    """A run in one of the formats of `stm_core.export`, as one file; what could not be kept as `warnings`.

    frames: sorted numbers of those with masks; objects: (id, name); name: of the clip.
    """
    recall(Path(clip))
    found = Result(Path(folder) / "masks", tuple(frames), dict(objects), name, 0, 0, probe(clip, NO_LIMITS))
    height, width = read_labels(found.masks / f"{frames[0]:05d}.png").shape
    found = replace(found, height=height, width=width)
    [format_] = formats_of([which])
    done = 0
    warnings: list[str] = []
    for done in export_file(found, format_, Path(out), Options(**options), warnings):
        if done % 5 == 0:
            yield {"done": done, "total": len(frames)}
    yield {"done": done, "total": len(frames), "warnings": warnings}


def compared(clip: str, out: str, extra: dict[str, str], frames: list[int]) -> Iterator[dict]:
    """A film of several runs side by side, and of where their masks differ.

    extra: name of a run -> the folder of its masks.  frames: sorted numbers that some run has a mask for.
    """
    start, stop, names = frames[0], frames[-1] + 1, list(extra)
    with read_again(clip, start, stop) as reader:
        size = film_size(reader.info.width, reader.info.height, len(names) + 1)
        source = None if reader.info.container in ("zip", "folder", "webp") else Path(clip)
        with VideoWriter(Path(out), *size, source=source, fps=reader.info.fps) as writer:
            for count, frame in enumerate(reader):
                paths = {name: Path(extra[name]) / f"{start + count:05d}.png" for name in names}
                known = {name: np.array(Image.open(path)) for name, path in paths.items() if path.exists()}
                writer.write(side_by_side(frame, known, names), reader.times[count])
                if count % 10 == 0:
                    yield {"done": count, "total": stop - start}
    yield {"done": stop - start, "total": stop - start, "warnings": list(writer.warnings)}


def film(
    clip: str,
    folder: str,
    out: str,
    frames: list[int],
    kind: str,
    opacity: float,
    colours: dict[int, tuple[int, int, int]] | None = None,
) -> Iterator[dict]:
    """`overlay`, `alpha` or `green` film of the frames that have masks.

    colours: of objects that have not the usual one in an overlay.
    """
    options = {"opacity": opacity, "colours": colours or {}}
    yield from export(clip, folder, out, frames, FILMS[kind], [], "clip", options)


def archive(
    folder: str, out: str, frames: list[int], kind: str, extra: dict[str, str], session: str
) -> Iterator[dict]:
    """`palette`: masks/00000.png as they are; `binary`: object_1/00000.png with 0 and 255; `everything`:
    both and the rest.

    extra: name in the ZIP -> file; session: JSON text that resumes the work.  Names in the ZIP are ours,
    never a visitor's.
    """
    # everything in it is compressed already
    with Whole(Path(out)) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as pack:
        for count, index in enumerate(frames):
            path = Path(folder) / "masks" / f"{index:05d}.png"
            if kind != "binary":
                pack.write(path, f"masks/{path.name}")
            if kind != "palette":
                labels = read_labels(path)
                for number in object_ids(labels):
                    pack.writestr(f"binary/object_{number}/{path.name}", binary(labels, number))
            if count % 5 == 0:
                yield {"done": count, "total": len(frames)}
        for name, source in extra.items():
            pack.write(source, name)
        if session:
            pack.writestr(SESSION, session)
    yield {"done": len(frames), "total": len(frames)}


def unpack_session(path: str, folder: str, most_bytes: int) -> Iterator[dict]:
    """Take an `everything` ZIP apart: the clip, the masks and the prompts into `folder`; its session as
    {"session": ...}.

    Yields {} when it is an ordinary ZIP (of frames).  Only known names are taken out; sizes are checked
    before and during.
    """
    try:
        with zipfile.ZipFile(path) as pack:
            names = {item.filename: item for item in pack.infolist()}
            if SESSION not in names:
                yield {}
                return
            session = json.loads(_take(pack, names[SESSION], 16 * 2**20))
            source = next((name for name in names if re.fullmatch(r"source\.[a-z0-9]{2,4}", name)), None)
            if not isinstance(session, dict) or source is None:
                raise VideoError(
                    "this ZIP holds no clip; upload the full session unchanged, as you downloaded it"
                )
            resumed = f"resumed{Path(source).suffix}"  # the upload itself may be called as this clip is
            wanted = [source, *(name for name in names if MASK_NAME.fullmatch(name))]
            if sum(names[name].file_size for name in wanted) > most_bytes:
                raise LimitError(
                    f"this ZIP unpacks to more than {most_bytes / 2**20:.0f} MB; upload the clip by itself"
                )
            for name in wanted:
                target = Path(folder) / (resumed if name == source else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                write_whole(target, _take(pack, names[name], most_bytes))
    except (zipfile.BadZipFile, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise VideoError("this ZIP is damaged; download or pack it again") from error
    yield {"session": session, "source": resumed}


def adopt_masks(folder: str, height: int, width: int) -> Iterator[dict]:
    """Read every mask that came out of a ZIP and write it anew; one that does not fit the clip is left
    out.
    """
    kept: dict[str, list[int]] = {"masks": [], "prompts": []}
    for kind, numbers in kept.items():
        for count, path in enumerate(sorted((Path(folder) / kind).glob("*.png"))):
            if count % 5 == 0:
                yield {"done": count}
            try:
                with Image.open(path) as picture:
                    fits = picture.format == "PNG" and picture.mode == "P" and picture.size == (width, height)
                    labels = np.array(picture) if fits else None
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                labels = None
            path.unlink()
            if labels is not None and int(path.stem) < 10**6:
                write_whole(path, encode_mask(labels))
                numbers.append(int(path.stem))
    yield kept


def _take(pack: zipfile.ZipFile, item: zipfile.ZipInfo, most: int) -> bytes:
    with pack.open(item) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise LimitError("a file in this ZIP is larger than it claims; pack it again")
    return data


JOBS = {job.__name__: job for job in (export, film, compared, archive, unpack_session, adopt_masks)}
