"""A balloon that is hidden for half a second and comes back."""

from __future__ import annotations

import numpy as np

from .paint import RATE, Canvas, X, Y, blur, cover, mix, noise, sample, smooth


class Balloon:
    """A hot-air balloon drifts behind a tower of sandstone and comes out again; the camera pans slowly."""

    title = "Balloon behind the rock"
    sentence = "It disappears behind the rock for half a second: does the memory know it when it comes back?"
    names = ("balloon",)
    frames = 144
    radius = 50

    def __init__(self):
        self.clouds = noise(360, 1280, 260, 1, 6)
        self.ridges = [noise(2, 1600, 380 - 70 * i, 11 + i, 6)[0] for i in range(4)]
        self.woods = noise(400, 1600, 22, 5, 4)
        self.rock = noise(700, 500, 120, 7, 6)
        self.strata = noise(700, 2, 90, 8, 6)[:, 0]
        self.rim = noise(700, 2, 130, 9, 5)
        self.cloth = noise(300, 300, 26, 10, 4)
        self.grit = noise(700, 700, 8, 3, 3)
        self.trees = noise(2, 1600, 9, 2, 2)[0]

    def frame(self, t: int) -> Canvas:
        pan = 0.55 * t
        canvas = Canvas(self.sky(pan, t), 1)
        for i in range(2):
            self.ridge(canvas, i, pan)
        self.balloon(canvas, t)
        for i in range(2, 4):
            self.ridge(canvas, i, pan)
        self.tower(canvas, pan)
        return canvas

    def sky(self, pan: float, t: int) -> np.ndarray:
        sky = mix((0.33, 0.50, 0.72), (0.98, 0.80, 0.62), smooth(-40, 300, Y))
        cloud = sample(self.clouds, X * 0.8 + pan * 0.3 + t * 0.25, Y * 1.9)
        sky = mix(sky, (1.0, 0.91, 0.84), smooth(0.52, 0.95, cloud) * (0.75 - 0.0014 * Y))
        sun = np.exp(-(((X - 520 + pan * 0.1) / 210) ** 2 + ((Y - 190) / 150) ** 2))
        return mix(sky, (1.0, 0.86, 0.62), 0.6 * sun)

    def ridge(self, canvas: Canvas, i: int, pan: float) -> None:
        shift = pan * (0.2 + 0.3 * i) + 310 * i
        base, height = (212, 244, 284, 330)[i], (95, 85, 75, 50)[i]
        top = base - height * (sample(self.ridges[i][None], X[0] + shift, 0 * X[0]) - 0.45)
        if i > 1:  # crowns of trees on the near hills
            top = top - (3, 9)[i - 2] * sample(self.trees[None], X[0] * (1.6, 1.0)[i - 2] + shift, 0 * X[0])
        colour = ((0.60, 0.64, 0.74), (0.44, 0.53, 0.60), (0.27, 0.40, 0.38), (0.15, 0.25, 0.20))[i]
        depth = np.clip((Y - top) / 90, 0, 1)
        grain = sample(self.woods, (X + shift) * (2.3 - 0.25 * i), Y * (3.4 - 0.4 * i)) - 0.5
        grain = grain + 0.8 * (sample(self.grit, (X + shift) * (1.3 - 0.2 * i), Y * (1.8 - 0.25 * i)) - 0.5)
        lit = mix(np.multiply(colour, 0.88), mix(colour, (0.85, 0.74, 0.66), 0.45), depth * (0.9 - 0.2 * i))
        canvas.paint(lit * (1 + (0.16 + 0.24 * i) * grain[..., None]), np.clip(Y - top + 0.5, 0, 1))

    def balloon(self, canvas: Canvas, t: int) -> None:
        seconds, radius = t / RATE, self.radius * (1 + 0.0006 * t)
        centre = (96 + 3.15 * t, 128 + 12 * np.sin(0.9 * seconds) - 5 * np.sin(2.1 * seconds))
        tilt = 0.07 * np.sin(1.3 * seconds)
        u = ((X - centre[0]) * np.cos(tilt) + (Y - centre[1]) * np.sin(tilt)) / radius
        v = ((Y - centre[1]) * np.cos(tilt) - (X - centre[0]) * np.sin(tilt)) / radius
        below = np.clip(v, 0, 1.42)
        half = np.where(v < 0, np.sqrt(np.clip(1 - v * v, 0, 1)), 1 - 0.42 * below**2 + 0.02 * below)
        round_top, skirt = np.hypot(u, v) - 1, np.maximum(np.abs(u) - 1 + 0.42 * v * v - 0.02 * v, v - 1.4)
        for side in (-1, 1):  # ropes
            canvas.paint(
                (0.25, 0.19, 0.16),
                cover(
                    np.maximum(np.abs(u - side * (0.16 - 0.04 * (v - 1.4))) - 0.022, np.abs(v - 1.55) - 0.2)
                ),
                1,
            )
        basket = np.maximum(np.abs(u) - 0.19 + 0.08 * (v - 1.7), np.abs(v - 1.86) - 0.16)
        weave = 0.75 + 0.25 * np.sin(u * 60) * np.sin(v * 60) - 0.5 * u
        canvas.paint(mix((0.36, 0.22, 0.12), (0.66, 0.45, 0.26), np.clip(weave, 0, 1)), cover(basket), 1)
        angle = np.arcsin(np.clip(u / np.maximum(half, 1e-3), -1, 1)) + 0.25 * seconds
        canvas.paint(self.envelope(u, v, half, angle), np.where(v < 0, cover(round_top), cover(skirt)), 1)

    def envelope(self, u, v, half, angle) -> np.ndarray:
        """The balloon's cloth: sixteen gores, a zigzag band, folds and light from the upper right."""
        gore = angle / np.pi * 8
        zigzag = np.abs((gore % 1) - 0.5) * 2
        cloth = mix((0.83, 0.17, 0.14), (0.97, 0.85, 0.62), smooth(-0.05, 0.05, np.sin(np.pi * gore)))
        band = smooth(0.02, 0.05, 0.2 - np.abs(v + 0.28 - 0.22 * zigzag))
        cloth = mix(cloth, (0.08, 0.37, 0.43), band)
        cloth = mix(cloth, (0.13, 0.20, 0.33), smooth(0.88, 0.92, v))
        cloth = mix(cloth, (0.95, 0.66, 0.22), smooth(0.03, 0.0, np.abs(v - 0.86) - 0.04))
        seam = 1 - 0.3 * np.exp(-(((((gore + 0.5) % 1) - 0.5) / 0.06) ** 2))
        across = u / np.maximum(half, 0.05)
        light = 0.50 + 0.50 * np.clip(
            0.55 * across - 0.42 * v + 0.62 * np.sqrt(np.clip(1 - across**2, 0, 1)), 0, 1.1
        )
        folds = 0.9 + 0.2 * sample(self.cloth, angle * 60, v * 60)
        shine = 0.22 * np.exp(-((across - 0.45) ** 2 / 0.06 + (v + 0.5) ** 2 / 0.1))
        return np.clip(cloth * (seam * light * folds)[..., None] + shine[..., None], 0, 1)

    def tower(self, canvas: Canvas, pan: float) -> None:
        x = X + 1.25 * pan - 452
        rows = (Y[:, 0] + 300).astype(int)
        ledge = 22 * (self.strata[rows] - 0.5)
        left = -62 - 0.13 * Y[:, 0] + 44 * (self.rim[rows, 0] - 0.5) + ledge
        right = 60 + 0.15 * Y[:, 0] + 44 * (self.rim[rows, 1] - 0.5) - ledge
        crown = 34 + 26 * sample(self.rock, x * 1.7, 0 * x) + 0.0022 * (x + 8) ** 2
        inside = np.maximum(np.maximum(left[:, None] - x, x - right[:, None]), crown - Y)
        coverage = np.clip(0.5 - inside, 0, 1)
        canvas.shade(0.35 * blur(coverage, 9) * (1 - coverage) * smooth(200, 330, Y))
        layers = self.strata[
            np.clip(rows[:, None] + 30 * sample(self.rock, x * 0.6, Y * 0.25), 0, 699).astype(int)
        ]
        grain = sample(self.rock, x * 2.2, Y * 2.2)
        bulge = sample(self.rock, x * 0.9 + 40, Y * 0.35 + 20)
        stone = mix(
            (0.47, 0.24, 0.16), (0.88, 0.60, 0.40), np.clip(0.15 + 0.75 * layers + 0.45 * (grain - 0.5), 0, 1)
        )
        stone = mix(
            stone, (0.35, 0.20, 0.17), 0.6 * smooth(0.62, 0.8, sample(self.rock, x * 1.1, Y * 0.4 + 90))
        )
        crack = sample(self.rock, x * 2.4 + 60 * layers, Y * 0.22 + 50)
        stone = stone * (1 - 0.55 * np.exp(-(np.abs(crack - 0.5) / 0.018)))[..., None]
        ledges = sample(self.strata[:, None], 0 * x, (Y + 300) * 2.6 + 24 * bulge)
        stone = stone * (0.72 + 0.56 * ledges * (0.8 + 0.4 * sample(self.grit, x, Y)))[..., None]
        share = (x - left[:, None]) / (right - left)[:, None]
        light = 0.42 + 0.62 * smooth(0.0, 0.85, share + 0.5 * (bulge - 0.5)) - 0.18 * smooth(0.88, 1.0, share)
        grass = smooth(12, 0, Y - crown - 10 * grain)
        stone = mix(
            stone * light[..., None], np.array((0.30, 0.40, 0.17)) * (0.6 + 0.8 * grain[..., None]), grass
        )
        canvas.paint(stone, coverage)
