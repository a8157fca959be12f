"""The pictures and tables of the model card.

    python assets/render_card.py DAVIS_ROOT --log RUN.log.jsonl --out assets/card

Writes the training curve and strips of masks over real frames as PNG; prints the tables in Markdown.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parent.parent))
from assets.line_chart import PAPER, Axes, Line, draw_chart
from stm_core import MemoryConfig, load_model
from stm_core.commands.choose import new_folders, played
from stm_core.masks.mask_files import read_labels, write_mask
from stm_core.masks.overlay import overlay
from stm_core.memory.policy import PRESETS, TUNED, Trust
from stm_core.runs.evaluate import Sequence, evaluate, find_sequences

SIZES = (320, 400, 480)
SMALL = (120, 180, 240, 360)  # lines of made-up small clips
CURVES = {"track_iou": (31, 119, 180), "click_iou": (214, 90, 20)}


def by_size(model, sequences: list[Sequence], out: Path) -> None:
    """J, F and J&F of each clip at each processed size (short side)."""
    print("| short side | " + " | ".join(one.name for one in sequences) + " | J | F | J&F | frames/s |")
    print("|---|" + "---|" * (len(sequences) + 4))
    for size in SIZES:
        found = evaluate(model, sequences, out / str(size), year=2016, size=size)
        print(f"| {size} | {_clips(found)} | {_row(found)} | {found['fps']:.1f} |", flush=True)


def by_preset(model, sequences: list[Sequence], out: Path, size: int) -> None:
    """The paper's Table 5 with this network: what each memory strategy keeps, and what that is worth."""
    print("| memory | J | F | J&F | frames/s |\n|---|---|---|---|---|")
    for preset in PRESETS:
        found = evaluate(
            model, sequences, out / preset, year=2016, size=size, memory=MemoryConfig(preset=preset)
        )
        print(f"| {preset} | {_row(found)} | {found['fps']:.1f} |", flush=True)


def by_trust(model, sequences: list[Sequence], out: Path, size: int) -> None:
    """Each clip forwards and backwards, its memory read as the paper does and as this network does."""
    backwards = played(sequences, "backwards", out / "backwards")
    print("| memory | played | " + " | ".join(one.name for one in sequences) + " | J | F | J&F |")
    print("|---|---|" + "---|" * (len(sequences) + 3))
    alike = Trust(reach=TUNED.reach)
    for name, trust in (("all frames alike, probabilities", alike), ("as bundled", TUNED)):
        memory = MemoryConfig(trust=trust)
        for way, clips in (("forwards", sequences), ("backwards", backwards)):
            found = evaluate(model, clips, out / f"{name}, {way}", year=2016, size=size, memory=memory)
            print(f"| {name} | {way} | {_clips(found)} | {_row(found)} |", flush=True)


def by_double(model, sequences: list[Sequence], out: Path, size: int = 240, later: int = 15) -> None:
    """Each clip beside its mirrored self, `later` frames ahead: what looks the same is not the object."""
    root = out / "doubled"
    for sequence in sequences:
        pictures, truths = new_folders(root, sequence.name)
        for index, path in enumerate(sequence.frames[:-later]):
            pair = path, sequence.frames[index + later]
            frames = [np.array(Image.open(one).convert("RGB")) for one in pair]
            truth = read_labels(sequence.annotations[index])
            Image.fromarray(np.hstack([frames[0], frames[1][:, ::-1]])).save(pictures / path.name, quality=95)
            write_mask(truths / sequence.annotations[index].name, np.hstack([truth, 0 * truth]))
    doubled = find_sequences(root, 2016, "val")
    print("| looked for | " + " | ".join(one.name for one in doubled) + " | J | F | J&F |")
    print("|---|" + "---|" * (len(doubled) + 3))
    for name, reach in (("everywhere", None), (f"within {TUNED.reach} of the short side", TUNED.reach)):
        memory = MemoryConfig(trust=replace(TUNED, reach=reach))
        found = evaluate(model, doubled, out / f"doubled {reach}", year=2016, size=size, memory=memory)
        print(f"| {name} | {_clips(found)} | {_row(found)} |", flush=True)


def by_lines(model, sequences: list[Sequence], out: Path) -> None:
    """The clips made small, seen as they are and enlarged."""
    print("| lines of the clips | seen | J | F | J&F |\n|---|---|---|---|---|")
    for lines in SMALL:
        root = out / f"{lines} lines"
        for sequence in sequences:
            pictures, truths = new_folders(root, sequence.name)
            for path, truth in zip(sequence.frames, sequence.annotations, strict=True):
                frame, labels = Image.open(path).convert("RGB"), Image.fromarray(read_labels(truth))
                small = tuple(round(side * lines / min(frame.size)) for side in frame.size)
                frame.resize(small, Image.Resampling.BICUBIC).save(pictures / path.name, quality=95)
                write_mask(truths / truth.name, np.asarray(labels.resize(small, Image.Resampling.NEAREST)))
        clips = find_sequences(root, 2016, "val")
        for name, size in (("as they are", lines), ("enlarged", None)):
            found = evaluate(model, clips, out / f"{lines} {name}", year=2016, size=size)
            print(f"| {lines} | {name} | {_row(found)} |", flush=True)


def strips(sequences: list[Sequence], masks: Path, out: Path, columns: int = 6, width: int = 240) -> None:
    """One picture a clip: evenly spaced frames with the found mask (above) and the true one (below)."""
    for sequence in sequences:
        picked = np.linspace(0, len(sequence.frames) - 1, columns).round().astype(int)
        cells = []
        for index in picked:
            frame = np.array(Image.open(sequence.frames[index]).convert("RGB"))
            truth = (read_labels(sequence.annotations[index]) > 0).astype(np.uint8)
            found = read_labels(masks / sequence.name / sequence.annotations[index].name)
            pair = np.concatenate([overlay(frame, found), overlay(frame, truth)])
            cells.append(Image.fromarray(pair).resize((width, round(pair.shape[0] * width / pair.shape[1]))))
        strip = Image.fromarray(np.concatenate([np.array(cell) for cell in cells], axis=1))
        strip.quantize(128).save(out / f"{sequence.name}.png", optimize=True)


def curve(log: Path, out: Path, size: tuple[int, int] = (720, 320)) -> None:
    """Overlap on training clips (tracked, clicked) over steps."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    picture = Image.new("RGB", size, PAPER)
    last = max(row["step"] for row in rows)
    axes = Axes(
        box=(50, 20, size[0] - 20, size[1] - 40),
        x={last * quarter / 4: str(round(last * quarter / 4)) for quarter in range(5)},
        y={tenth / 10: f"{tenth / 10:.1f}" for tenth in range(0, 11, 2)},
        below="steps",
    )
    lines = []
    for name, colour in CURVES.items():
        points = [(row["step"], row[name]) for row in rows if name in row]
        lines.append(Line(f"{name}, latest {points[-1][1]:.2f}", colour, points))
    draw_chart(ImageDraw.Draw(picture), axes, lines, legend=(size[0] - 170, size[1] - 80))
    picture.save(out, optimize=True)


def _clips(found: dict) -> str:
    return " | ".join(f"{100 * (s['J'] + s['F']) / 2:.1f}" for s in found["sequences"].values())


def _row(found: dict) -> str:
    return " | ".join(
        f"{100 * value:.1f}" for value in (found["J"]["mean"], found["F"]["mean"], found["J&F"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("davis", type=Path, help="root in DAVIS layout; its val list is scored")
    parser.add_argument("--log", type=Path, nargs="+", help="RUN.log.jsonl of the training run")
    parser.add_argument("--weights", default="compact")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.log:
        curve(args.log[0], args.out / "curve.png")
    model, sequences = load_model(args.weights), find_sequences(args.davis, 2016, "val")
    with tempfile.TemporaryDirectory() as folder:
        by_size(model, sequences, Path(folder))
        print()
        by_preset(model, sequences, Path(folder), SIZES[-1])
        print()
        by_trust(model, sequences, Path(folder), SIZES[-1])
        print()
        by_double(model, sequences, Path(folder))
        print()
        by_lines(model, sequences, Path(folder))
        strips(sequences, Path(folder) / str(SIZES[-1]) / "masks", args.out)


if __name__ == "__main__":
    main()
