"""Finished runs to export, made without a network, and strict readers of the formats."""

import base64
import io
import json
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
from PIL import Image, ImageDraw

from stm_core.export.finished_run import read_result
from stm_core.export.order import Options
from stm_core.export.registry import FORMATS
from stm_core.export.writing import export
from stm_core.masks.mask_files import read_labels, write_mask
from stm_core.masks.outlines import fill
from stm_core.media.write import VideoWriter

SIZE = (45, 67)  # height, width: both odd


def labels_of(frames: int = 5, size: tuple[int, int] = SIZE, objects: int = 8) -> list[np.ndarray]:
    """Masks with holes, an island in one, pieces, single pixels, objects at the border; one is empty."""
    height, width = size
    found = []
    for t in range(frames):
        labels = np.zeros(size, np.uint8)
        if t == 2:
            found.append(labels)
            continue
        rows, columns = np.mgrid[:height, :width]
        distance = (rows - 20) ** 2 + (columns - 20 - t) ** 2
        labels[distance < 16**2] = 1
        labels[distance < 10**2] = 0
        labels[distance < 5**2] = 1
        labels[rows + columns > height + width - 12] = 2
        labels[5, width - 5 - t] = 3  # one pixel
        labels[10 + t :: 9, 45:60:2] = 4  # many pieces
        labels[30, 45] = labels[31, 46] = labels[32, 45] = 5  # they touch at corners
        labels[:3, :5] = 6
        labels[-1, 0] = 7
        if t % 2:
            labels[15:25, -9:-1] = 8
        labels[labels > objects] = 0
        found.append(labels)
    return found


def pictures(frames: int = 5, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Pictures for them."""
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (frames, 6, 8, 3), np.uint8)
    return [np.array(Image.fromarray(one).resize(size[::-1], Image.Resampling.BILINEAR)) for one in small]


def make_run(root: Path, labels: list[np.ndarray], first: int = 0) -> Path:
    """A run's folder, whose clip is a folder of PNGs.  first: the number of the first frame with a mask."""
    clip, run = root / "My clip", root / "run"
    clip.mkdir(parents=True)
    (run / "masks").mkdir(parents=True)
    for n, image in enumerate(pictures(first + len(labels), labels[0].shape)):
        Image.fromarray(image).save(clip / f"{n:05d}.png")
    for n, one in enumerate(labels, first):
        write_mask(run / "masks" / f"{n:05d}.png", one)
    (run / "report.json").write_text(json.dumps({"clip": {"name": clip.name, "path": str(clip)}}))
    return run


def make_film(path: Path, labels: list[np.ndarray], times: list[float]) -> None:
    """An MP4 with these times."""
    with VideoWriter(path, *labels[0].shape[::-1], fps=10) as writer:
        for image, seconds in zip(pictures(len(labels), labels[0].shape), times, strict=True):
            writer.write(image, seconds)


def exported(run: Path, name: str, out: Path, clip: Path | None = None, **options) -> list[Path]:
    """The files of one format, but for the report."""
    for _ in export(read_result(run, clip), [FORMATS[name]], out, Options(**options), []):
        pass
    return sorted(path for path in (out / name).rglob("*") if path.is_file())


# readers: each gives {frame: {object: bool (H, W)}}; objects are those with a pixel -----------------------


def truth(labels: list[np.ndarray], first: int = 0) -> dict[int, dict[int, np.ndarray]]:
    return truth_of(enumerate(labels, first))


def truth_of(masks) -> dict[int, dict[int, np.ndarray]]:
    """The same of (frame, labels) pairs."""
    return {t: {int(n): one == n for n in np.unique(one) if n} for t, one in masks}


def read_palette(folder: Path) -> dict:
    return truth_of((int(path.stem), read_labels(path)) for path in sorted(folder.glob("*.png")))


def same(found: dict, expected: dict) -> None:
    assert {t: sorted(one) for t, one in found.items()} == {t: sorted(one) for t, one in expected.items()}
    for t, objects in expected.items():
        for n, mask in objects.items():
            np.testing.assert_array_equal(found[t][n], mask, err_msg=f"frame {t}, object {n}")


def number(label: str) -> int:
    return int(label.removeprefix("object"))


def read_davis(folder: Path) -> dict:
    found = {}
    for path in sorted(folder.rglob("Annotations/**/*.png")):
        with Image.open(path) as image:
            assert image.mode == "P"
            ids = np.array(image)
        found[int(path.stem)] = {int(n): ids == n for n in np.unique(ids) if n}
    return found


def read_yolo(folder: Path, size: tuple[int, int]) -> dict:
    found = {}
    for path in sorted(folder.glob("labels/train/*.txt")):
        objects = {}
        for line in path.read_text().splitlines():
            kind, *shares = line.split()
            points = np.array(shares, float).reshape(-1, 2)
            assert len(points) >= 3 and ((points >= 0) & (points <= 1)).all()
            assert int(kind) + 1 not in objects
            objects[int(kind) + 1] = fill([points * size[::-1]], *size)
        found[int(path.stem.split("_")[-1])] = objects
    return found


def read_cvat(folder: Path) -> dict:
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    labels = [one.findtext("name") for one in root.iterfind("meta/task/labels/label")]
    found = {}
    for image in root.iterfind("image"):
        size = int(image.get("height")), int(image.get("width"))
        found[int(image.get("id"))] = objects = {}
        for mask in image.iterfind("mask"):
            assert mask.get("label") in labels
            left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in mask.get("rle").split(",")]
            assert sum(runs) == width * height
            inside = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
            full = np.zeros(size, bool)
            full[top : top + height, left : left + width] = inside
            objects[number(mask.get("label"))] = full
    return found


def unpack_brush(data: list[int]) -> np.ndarray:
    """The values of a Label Studio brush, as its description says."""
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = take(1)
        count = take(sizes[take(2)]) + 1
        values += [take(word)] * count if repeated else [take(word) for _ in range(count)]
    return np.array(values, np.uint8)


def read_labelstudio(path: Path) -> dict:
    found = {}
    for task in json.loads(path.read_text()):
        objects = found[task["data"]["frame"]] = {}
        for row in task["annotations"][0]["result"]:
            size = row["original_height"], row["original_width"]
            rgba = unpack_brush(row["value"]["rle"]).reshape(*size, 4)
            assert row["type"] == "brushlabels" and (rgba == rgba[..., :1]).all()
            objects[number(row["value"]["brushlabels"][0])] = rgba[..., 3] == 255
    return found


def read_labelme(folder: Path) -> dict:
    found = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        assert (folder / content["imagePath"]).is_file()
        objects = found[int(path.stem.split("_")[-1])] = {}
        for shape in content["shapes"]:
            (left, top), (right, bottom) = shape["points"]
            with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
                inside = np.array(image) > 0
            assert shape["shape_type"] == "mask" and inside.shape == (bottom - top + 1, right - left + 1)
            full = np.zeros((content["imageHeight"], content["imageWidth"]), bool)
            full[top : bottom + 1, left : right + 1] = inside
            objects[shape["group_id"]] = full
    return found


def read_outlines(path: Path) -> dict:
    """Filled by Pillow at four times the size, path by path: each adds or takes away."""
    content, scale = json.loads(path.read_text()), 4
    found = {}
    for frame in content["frames"]:
        objects = found[frame["frame"]] = {}
        for one in frame["objects"]:
            large = Image.new("1", (content["width"] * scale, content["height"] * scale))
            for loop in one["paths"]:
                points = [(scale * x - 0.5, scale * y - 0.5) for x, y in loop["vertices"]]
                ImageDraw.Draw(large).polygon(points, fill=int(loop["mode"] == "add"))
            objects[one["id"]] = np.array(large)[scale // 2 :: scale, scale // 2 :: scale]
    return found


def read_film(path: Path, form: str) -> tuple[list[np.ndarray], list[Fraction], list[Fraction]]:
    """The pictures of a film in this pixel format, and when each is shown, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return [frame.to_ndarray(format=form) for frame in frames], [f.pts * f.time_base for f in frames]


def read_alpha(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """The alpha of a WebM's pictures, uint8 (H, W), and when each is shown: only libvpx itself decodes it."""
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as container:
        frames = [frame for packet in container.demux(video=0) for frame in decoder.decode(packet)]
        times = [frame.pts * container.streams.video[0].time_base for frame in frames]
    planes = [frame.planes[3] for frame in frames]
    rows = [np.frombuffer(one, np.uint8).reshape(one.height, one.line_size)[:, : one.width] for one in planes]
    return rows, times
