"""Two look-alikes, one passing over the other."""

from __future__ import annotations

import numpy as np

from .paint import (
    HEIGHT,
    WIDTH,
    Canvas,
    X,
    Y,
    along_spine,
    blur,
    cover,
    grid,
    mix,
    noise,
    polygon,
    sample,
    smooth,
)


class Koi:
    """Two koi of the same colours cross in a clear pond, one above the other, over a bed of pebbles."""

    title = "Two koi that cross"
    sentence = "Two look-alikes, one swimming over the other: do the two colours stay with their fish?"
    names = ("first koi", "second koi")
    frames = 144
    length, half = 178.0, 22.0  # pixels

    def __init__(self):
        self.pebbles = self.pebble_bed(600, 960)
        self.waves = [noise(512, 512, 128, 20 + i, 3) for i in range(4)]
        self.skins = [noise(256, 512, 120, seed, 4) for seed in (33, 36)]
        self.flecks = noise(256, 512, 30, 32, 3)

    @staticmethod
    def pebble_bed(height: int, width: int) -> np.ndarray:
        """A tiling bed of rounded stones: nearest of scattered centres, shaded towards the next one."""
        rng = np.random.default_rng(4)
        x, y = grid(height, width)
        centres = rng.random((620, 2)) * (width, height)
        squash = rng.uniform(0.75, 1.3, 620)
        first = np.full((height, width), 1e9, np.float32)
        second, owner = first.copy(), np.zeros((height, width), np.int32)
        for i, (cx, cy) in enumerate(centres):
            dx = (x - cx + width / 2) % width - width / 2
            dy = (y - cy + height / 2) % height - height / 2
            distance = np.hypot(dx * squash[i], dy / squash[i])
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            owner = np.where(nearer, i, owner)
            first = np.minimum(first, distance)
        edge = second - first
        tones = np.array(
            [
                (0.45, 0.44, 0.38),
                (0.56, 0.50, 0.40),
                (0.34, 0.38, 0.36),
                (0.62, 0.59, 0.52),
                (0.50, 0.36, 0.27),
                (0.44, 0.47, 0.50),
            ]
        )
        colour = tones[rng.integers(0, 6, 620)] * rng.uniform(0.65, 1.2, (620, 1))
        round_off = smooth(-1, 9, edge)
        slope_y, slope_x = np.gradient(blur(round_off, 2.0))
        light = 0.85 + 2.2 * (-slope_x - slope_y)
        grain = 0.84 + 0.32 * noise(height, width, 18, 6, 4)
        return (colour[owner] * (0.25 + 0.75 * round_off)[..., None] * (light * grain)[..., None]).astype(
            np.float32
        )

    def water(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Two slowly changing fields about 0, the slope of the surface in x and y."""
        a = sample(self.waves[0], X + 0.9 * t, Y + 0.3 * t) + sample(self.waves[1], X - 0.5 * t, Y - 0.8 * t)
        b = sample(self.waves[2], X + 0.3 * t, Y - 0.9 * t) + sample(self.waves[3], X - 0.8 * t, Y + 0.5 * t)
        return a - 1, b - 1

    def frame(self, t: int) -> Canvas:
        a, b = self.water(t)
        bed = sample(self.pebbles, X + 0.35 * t + 9 * a, Y + 0.12 * t + 9 * b)
        bed = mix(bed * np.array((0.90, 1.12, 1.02)), (0.06, 0.28, 0.27), 0.22 + 0.0004 * Y)
        web = np.exp(-(np.abs(a + 0.6 * b) / 0.055)) + 0.7 * np.exp(-(np.abs(b - 0.5 * a) / 0.05))
        canvas = Canvas(bed, 2)
        canvas.glow((0.20, 0.24, 0.17), np.clip(blur(np.clip(web, 0, 1), 1.2), 0, 1))
        fish = [self.body(t, second) for second in (True, False)]  # the first koi swims above the second
        shadow = sum(blur(np.roll(np.maximum(c, f), (20, 14), (0, 1)), 6) for _, c, f, _ in fish)
        canvas.shade(0.5 * np.clip(shadow, 0, 1))
        for label, (colour, coverage, fins, fin_colour) in zip((2, 1), fish, strict=True):
            if label == 1:  # the upper fish darkens the lower one a little
                canvas.shade(0.35 * blur(np.roll(coverage, (7, 5), (0, 1)), 3))
            canvas.paint(fin_colour, fins, label)
            canvas.paint(colour * (1 + 0.12 * np.clip(web, 0, 1))[..., None], coverage, label)
        self.leaves(canvas, t)
        canvas.glow((0.75, 0.85, 0.9), 0.5 * smooth(0.34, 0.55, a) * smooth(0.1, 0.4, b))
        return canvas

    def spine(self, t: int, second: bool) -> np.ndarray:
        """Points (20, 2) from nose to tail: where the nose was earlier, swayed sideways towards the tail."""
        start = np.array((424.0, 226.0)) if second else np.array((206.0, 128.0))
        step = np.array((-2.75, -1.00)) if second else np.array((2.75, 1.00))
        bend, phase = (0.9, 2.0) if second else (-1.0, 0.0)
        back = np.linspace(0, 1, 20)
        when = t - back * self.length / np.hypot(*step)
        places = start + when[:, None] * step
        places[:, 1] += bend * 14 * np.sin(when / 52 + phase)
        beat = (1.5 + 13 * back**1.6) * np.sin(0.42 * t - 5.2 * back + phase)
        across = np.array((-step[1], step[0])) / np.hypot(*step)
        return (places + beat[:, None] * across).astype(np.float32)

    def body(self, t: int, second: bool):
        """Colour and coverage of the trunk, coverage and colour of the fins."""
        spine = self.spine(t, second)
        share, offset = along_spine(spine, X, Y)
        s = np.clip(share, 0, 1)
        width = (
            self.half
            * np.sqrt(np.clip(1 - (1 - np.clip(s / 0.30, 0, 1)) ** 2, 0, 1))
            * (1 - smooth(0.25, 0.95, s) * 0.86)
        )
        ends = np.maximum(-share, share - 0.93) * self.length
        outside = np.maximum(np.hypot(offset, np.minimum(share, 0) * self.length) - width, ends)
        colour = self.skin(s, offset / np.maximum(width, 1), second)
        tail = 4 + 27 * smooth(0.84, 1.1, share)
        fork = 1.04 + 0.07 * smooth(4, 24, np.abs(offset))
        fins = cover(np.maximum(np.abs(offset) - tail, np.maximum(0.84 - share, share - fork) * self.length))
        heading = spine[0] - spine[6]
        heading /= np.hypot(*heading)
        for side in (-1, 1):
            root = spine[5] + side * 15 * np.array((-heading[1], heading[0]))
            out = -0.75 * heading + side * (0.9 + 0.12 * np.sin(0.3 * t + side)) * np.array(
                (-heading[1], heading[0])
            )
            reach, spread = np.linspace(0, 1, 12)[:, None], np.array([[1.0], [-1.0]])
            lobes = [
                root + 32 * out * reach + s * (3 + 12 * np.sin(np.pi * reach**0.8)) * heading for s in spread
            ]
            fins = np.maximum(fins, polygon(HEIGHT, WIDTH, np.concatenate([lobes[0], lobes[1][::-1]])))
        rays = 0.88 + 0.12 * np.sin(offset * 45 / (14 + 30 * smooth(0.84, 1.1, share)))
        fin_colour = mix((0.97, 0.90, 0.82), (0.93, 0.55, 0.30), 0.55) * rays[..., None]
        return colour, cover(outside), fins * 0.96, fin_colour

    def skin(self, s, v, second: bool) -> np.ndarray:
        """White with orange patches, black flecks, scales, a bright back; s along, v across in -1 .. 1."""
        ragged = 2.2 * (sample(self.skins[int(second)], s * 330, v * 30 + 60) - 0.5)
        patch = smooth(0.10, 0.22, np.cos(2 * np.pi * (2.7 * s - (0.22 if second else 0.45))) + ragged)
        skin = mix((0.98, 0.95, 0.89), (0.92, 0.33, 0.07), patch)
        skin = mix(
            skin, (0.10, 0.10, 0.12), 0.85 * smooth(0.76, 0.82, sample(self.flecks, s * 300, v * 30 + 90))
        )
        scales = 0.93 + 0.07 * np.cos(s * 150 + np.pi * np.round(v * 5)) * smooth(0.22, 0.3, s)
        light = 0.56 + 0.46 * np.sqrt(np.clip(1 - v * v, 0, 1)) - 0.06 * v
        fin = np.exp(-((v / 0.12) ** 2)) * smooth(0.32, 0.4, s) * smooth(0.72, 0.6, s)
        eye = np.exp(-(((s - 0.075) / 0.014) ** 2 + ((np.abs(v) - 0.72) / 0.14) ** 2))
        skin = mix(skin * (scales * light)[..., None], (0.98, 0.72, 0.52), 0.5 * fin)
        return np.clip(mix(skin, (0.05, 0.04, 0.04), np.clip(1.5 * eye, 0, 1)), 0, 1)

    def leaves(self, canvas: Canvas, t: int) -> None:
        """Two lily pads drift on the surface, in a corner each."""
        for cx, cy, size, turn in (
            (648 - 0.10 * t, 352, 70, 0.4),
            (38 - 0.06 * t, 318, 56, 2.6),
            (540, 12, 44, 4.4),
        ):
            dx, dy = X - cx, Y - cy - 1.5 * np.sin(t / 17 + cx)
            radius, angle = np.hypot(dx, dy), (np.arctan2(dy, dx) - turn) % (2 * np.pi)
            edge = size * (1 + 0.025 * np.sin(5 * angle) + 0.015 * np.sin(11 * angle))
            notch = smooth(0.0, 0.05, np.abs(angle - np.pi) - 0.16 * np.clip(radius / size, 0.3, 1))
            coverage = np.clip(0.5 - (radius - edge), 0, 1) * notch
            canvas.shade(0.45 * blur(np.roll(coverage, (12, 9), (0, 1)), 6) * (1 - coverage))
            veins = np.exp(-((np.sin(angle * 8) / 0.10) ** 2)) * smooth(0.08, 0.5, radius / size)
            tone = sample(self.flecks, dx * 1.2 + 80, dy * 1.2 + 80)
            leaf = mix(
                (0.16, 0.36, 0.15),
                (0.42, 0.60, 0.24),
                np.clip(0.25 + 0.5 * tone + 0.3 * veins - 0.002 * (dx + dy), 0, 1),
            )
            rim = smooth(0.93, 1.0, radius / edge)
            canvas.paint(mix(leaf, (0.50, 0.38, 0.22), 0.5 * rim), coverage)
