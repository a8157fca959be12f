"""Render the example clips and their exact masks into assets/examples.

    python assets/render_examples.py [NAME ...]

For each scene: NAME.mp4, NAME_masks.zip (one palette PNG a frame: 0 background, 1.. the objects), NAME.png
(the first of them) and NAME.json (title, sentence, object names, clicks: [frame, x, y, label, object]).
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from scenes import SCENES
from scenes.paint import HEIGHT, RATE, WIDTH, X, Y

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that it runs from any folder
from stm_core.masks.palette import PALETTE

EXAMPLES = Path(__file__).resolve().parent / "examples"
QUALITY = "26"  # x264's constant rate factor: 150 to 380 KB a clip
FIXED = (2026, 1, 1, 0, 0, 0)  # the date of every file in a ZIP, so that rendering again gives the same bytes


def finish(picture: np.ndarray, t: int) -> np.ndarray:
    """The painted picture as a camera would give it: vignette, grain, rounded to uint8 (H, W, 3)."""
    rng = np.random.default_rng(t)
    corner = ((X / WIDTH - 0.5) ** 2 + (Y / HEIGHT - 0.5) ** 2)[..., None]
    grain = rng.normal(0, 0.008, (HEIGHT, WIDTH, 1))
    return np.clip((picture * (1 - 0.30 * corner) + grain) * 255 + 0.5, 0, 255).astype(np.uint8)


def starting_clicks(labels: np.ndarray) -> list[list[int]]:
    """A click on each object of frame 0, [frame, x, y, label, object], where it is farthest from its edge."""
    clicks = []
    for number in range(1, int(labels.max()) + 1):
        depth = depth_inside(labels == number)
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        clicks.append([0, int(x), int(y), 1, number])
    return clicks


def depth_inside(mask: np.ndarray) -> np.ndarray:
    """How many layers of pixels (4-connected) lie over each pixel of a mask (H, W); 0 outside."""
    inside = np.pad(mask, 1)
    depth = np.zeros(inside.shape, int)
    while inside.any():
        depth += inside
        before = inside
        for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            inside = inside & np.roll(before, step, axis)
    return depth[1:-1, 1:-1]


def small_png(labels: np.ndarray) -> bytes:
    """A palette PNG, packed harder than the command's own, which has to be quick."""
    image, data = Image.fromarray(labels), io.BytesIO()
    image.putpalette(PALETTE.tobytes())
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def render(name: str) -> None:
    scene = SCENES[name]()
    EXAMPLES.mkdir(exist_ok=True)
    with (
        av.open(EXAMPLES / f"{name}.mp4", "w", options={"movflags": "+faststart"}) as clip,
        zipfile.ZipFile(EXAMPLES / f"{name}_masks.zip", "w") as masks,
    ):
        stream = clip.add_stream("libx264", RATE, options={"crf": QUALITY, "preset": "veryslow", "g": "48"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for t in range(scene.frames):
            canvas = scene.frame(t)
            labels = canvas.labels()
            if t == 0:
                clicks = starting_clicks(labels)
                (EXAMPLES / f"{name}.png").write_bytes(small_png(labels))
            frame = av.VideoFrame.from_ndarray(finish(canvas.picture, t), format="rgb24")
            clip.mux(stream.encode(frame))
            entry = zipfile.ZipInfo(f"{t:05d}.png", date_time=FIXED)
            masks.writestr(entry, small_png(labels))
        clip.mux(stream.encode(None))
    about = {
        "title": scene.title,
        "sentence": scene.sentence,
        "objects": list(scene.names),
        "clicks": clicks,
        "frames": scene.frames,
        "width": WIDTH,
        "height": HEIGHT,
        "rate": RATE,
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in about.items())
    (EXAMPLES / f"{name}.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or SCENES:
        render(chosen)
