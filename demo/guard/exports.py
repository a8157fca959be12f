"""Files that a visitor takes away: overlay, masks in two forms, cut-outs, and everything in one ZIP that
can be resumed.

These are jobs of the guarded process (demo.guard), because each of them reads the visitor's clip again.  A
job yields its progress and writes `out` whole or not at all.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from demo.guard.reading import read_again
from stm_core.errors import LimitError, VideoError
from stm_core.masks.files import encode_mask, object_ids
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import on_screen
from stm_core.media.files import Whole, write_whole
from stm_core.media.write import VideoWriter

GREEN = (0, 177, 64)  # chroma key green
SESSION = "session.json"
MASK_NAME = re.compile(r"(masks|prompts)/\d{5}\.png")
KINDS = {
    "overlay": "overlay.mp4",
    "palette": "masks_palette.zip",
    "binary": "masks_binary.zip",
    "alpha": "cutout_alpha.webm",
    "green": "cutout_green.mp4",
    "report": "report.json",
    "everything": "everything.zip",
}


def film(
    clip: str,
    folder: str,
    out: str,
    frames: list[int],
    kind: str,
    opacity: float = 0.5,
    colours: dict[int, tuple[int, int, int]] | None = None,
) -> Iterator[dict]:
    """`overlay`, `alpha` or `green` film of the frames that have masks; the source's times and sound.

    frames: sorted numbers; a hole between them stays without a mask.
    opacity, colours: of the masks, and of objects that have not the usual one, in an overlay.
    """
    start, stop = frames[0], frames[-1] + 1
    chosen, writer = set(frames), None
    table = on_screen(colours or {})
    with read_again(clip, start, stop) as reader:
        try:
            for count, frame in enumerate(reader):
                seconds = reader.times[count]
                if writer is None:
                    source = None if reader.info.container in ("zip", "folder", "webp") else Path(clip)
                    writer = VideoWriter(
                        Path(out),
                        frame.shape[1],
                        frame.shape[0],
                        source=source,
                        fps=reader.info.fps,
                        kind="webm-alpha" if kind == "alpha" else "mp4",
                        offset=seconds if start else 0.0,
                    ).__enter__()
                labels = _labels(folder, start + count, frame.shape[:2]) if start + count in chosen else None
                writer.write(_mix(frame, labels, kind, opacity, table), seconds)
                if count % 10 == 0:
                    yield {"done": count, "total": stop - start}
        except BaseException as error:
            if writer is not None:
                writer.__exit__(type(error), error, None)
            raise
        if writer is None:
            raise VideoError("no frame of the clip could be read again; upload it once more")
        writer.__exit__(None, None, None)
    yield {"done": stop - start, "total": stop - start, "warnings": list(writer.warnings)}


def _labels(folder: str, index: int, shape: tuple[int, int]) -> np.ndarray:
    labels = np.array(
        Image.open(Path(folder) / "masks" / f"{index:05d}.png")
    )  # written by us: ids as they are
    if labels.shape != shape:
        raise VideoError(
            f"frame {index} is {shape[1]}x{shape[0]} now, it was another size before; upload the clip again"
        )
    return labels


def _mix(
    frame: np.ndarray, labels: np.ndarray | None, kind: str, opacity: float, colours: np.ndarray
) -> np.ndarray:
    if labels is None:
        labels = np.zeros(frame.shape[:2], np.uint8)
    if kind == "alpha":
        return np.dstack([frame, np.where(labels > 0, 255, 0).astype(np.uint8)])
    if kind == "green":
        return np.where(labels[..., None] > 0, frame, np.array(GREEN, np.uint8))
    return overlay(frame, labels, alpha=opacity, colours=colours)


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
                for number, data in _binary(path):
                    pack.writestr(f"binary/object_{number}/{path.name}", data)
            if count % 5 == 0:
                yield {"done": count, "total": len(frames)}
        for name, source in extra.items():
            pack.write(source, name)
        if session:
            pack.writestr(SESSION, session)
    yield {"done": len(frames), "total": len(frames)}


def _binary(path: Path) -> Iterator[tuple[int, bytes]]:
    labels = np.array(Image.open(path))
    for number in object_ids(labels):
        buffer = io.BytesIO()
        Image.fromarray(np.where(labels == number, 255, 0).astype(np.uint8)).save(
            buffer, format="PNG", compress_level=1
        )
        yield number, buffer.getvalue()


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
                    "this ZIP holds no clip; upload the full session as you downloaded it, unchanged"
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


JOBS = {job.__name__: job for job in (film, archive, unpack_session, adopt_masks)}
