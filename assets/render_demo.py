"""Make the README's moving picture: python assets/render_demo.py [NAME] [--clicks]

Runs our own command on an example, from its first mask (or from its clicks), and packs the overlay as
assets/demo.webp: half the frames, 480 pixels wide, so that it loads at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av

HERE = Path(__file__).resolve().parent
WIDTH, EVERY, QUALITY = 480, 2, 55  # pixels; one frame in this many; WebP's 0 to 100


def main() -> int:
    """Read the options, run the command, pack its film."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("name", nargs="?", default="balloon")
    parser.add_argument("--clicks", action="store_true", help="start from clicks instead of the first mask")
    args = parser.parse_args()
    clip = HERE / "examples" / f"{args.name}.mp4"
    prompt = ["--mask", str(clip.with_suffix(".png"))]
    if args.clicks:
        rows = json.loads(clip.with_suffix(".json").read_text())["clicks"]
        prompt = [word for _, *row in rows for word in ("--click", ",".join(map(str, row)))]
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "stm_core", "segment", str(clip), *prompt, "--out", out]
        subprocess.run(words, cwd=HERE.parent, check=True)
        with av.open(str(Path(out) / "overlay.mp4")) as film:
            rate = float(film.streams.video[0].average_rate)
            pictures = [
                frame.to_image(width=WIDTH, height=WIDTH * frame.height // frame.width, interpolation="AREA")
                for frame in film.decode(video=0)
            ][::EVERY]
    target = HERE / "demo.webp"
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * EVERY / rate),
        loop=0,
        quality=QUALITY,
        method=6,
    )
    print(f"{target}: {len(pictures)} pictures, {target.stat().st_size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
