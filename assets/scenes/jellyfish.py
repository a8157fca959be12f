"""A body that changes its shape in every frame."""

from __future__ import annotations

import numpy as np

from .paint import HEIGHT, WIDTH, Canvas, X, Y, blur, cover, mix, noise, ribbon, sample, smooth


class Jelly:
    """A jellyfish swims along a reef: its bell opens and closes, its arms trail and bend."""

    title = "Jellyfish by the reef"
    sentence = "Bell and arms change their shape in every frame, over a background that moves as well."
    names = ("jellyfish",)
    frames = 144

    def __init__(self):
        self.haze = noise(512, 1024, 300, 40, 5)
        self.reef = [noise(2, 1400, 300, 41 + i, 6)[0] for i in range(3)]
        self.coral = noise(600, 1400, 60, 45, 5)
        self.polyps = noise(600, 1400, 16, 46, 3)
        self.skin = noise(300, 300, 60, 47, 5)
        rng = np.random.default_rng(48)
        self.snow = rng.random((70, 4)) * (WIDTH, HEIGHT, 1, 2 * np.pi)  # x, y, size, phase

    def frame(self, t: int) -> Canvas:
        canvas = Canvas(self.sea(t), 1)
        for i in range(3):
            self.ledge(canvas, i, t)
        self.flakes(canvas, t, self.snow[:45], 1.0)
        self.jelly(canvas, t)
        self.flakes(canvas, t, self.snow[45:], 2.2)
        return canvas

    def sea(self, t: int) -> np.ndarray:
        sea = mix((0.16, 0.55, 0.66), (0.02, 0.13, 0.27), smooth(-60, 330, Y + 0.15 * X))
        drift = sample(self.haze, X * 0.7 + 0.9 * t, Y * 0.9 - 0.4 * t)
        sea = sea * (0.82 + 0.36 * drift)[..., None]
        fan = (X - 160) / (Y + 170)
        rays = sample(self.haze, 210 * fan + 0.7 * t, 0 * Y + 40 + 0.5 * t) * sample(
            self.haze, 330 * fan - 0.4 * t, 0 * Y + 9
        )
        return mix(sea, (0.62, 0.90, 0.88), 0.75 * smooth(0.2, 0.6, rays) * smooth(330, 0, Y))

    def ledge(self, canvas: Canvas, i: int, t: int) -> None:
        shift = t * (0.5 + 0.55 * i) + 290 * i
        rise = t * (0.06 + 0.06 * i)
        base, height = (276, 320, 366)[i] + rise, (120, 120, 120)[i]
        top = base - height * (sample(self.reef[i][None], X[0] + shift, 0 * X[0]) - 0.35)
        rough = 26 * (sample(self.polyps, X + shift, Y - rise) - 0.5)
        coverage = np.clip((Y - top + rough) / 1.5 + 0.5, 0, 1)
        tone = sample(self.coral, (X + shift) * 1.2, (Y - rise) * 1.2)
        dots = sample(self.polyps, (X + shift) * 1.5, (Y - rise) * 1.5)
        bumps = sample(self.polyps, (X + shift) * 3.1, (Y - rise) * 3.1)
        kind = sample(self.coral, (X + shift) * 0.35 + 200 * i, (Y - rise) * 0.35)
        colour = mix((0.36, 0.20, 0.36), (0.75, 0.38, 0.34), smooth(0.4, 0.6, kind))
        colour = mix(colour, (0.66, 0.58, 0.30), smooth(0.6, 0.75, kind))
        colour = colour * (0.40 + 0.70 * tone + 0.9 * (dots - 0.5) + 0.5 * (bumps - 0.5))[..., None]
        colour = colour * (1.05 - 0.6 * np.clip((Y - top) / 130, 0, 1))[..., None]
        far = (0.68, 0.42, 0.16)[i]
        canvas.paint(mix(colour, (0.05, 0.29, 0.41), far), coverage)

    def flakes(self, canvas: Canvas, t: int, flakes: np.ndarray, speed: float) -> None:
        bright = np.zeros((HEIGHT, WIDTH), np.float32)
        for x, y, size, phase in flakes:
            cx = (x - speed * 0.6 * t + 5 * np.sin(t / 20 + phase)) % WIDTH
            cy = (y + speed * 0.5 * t) % HEIGHT
            radius = (0.7 + 1.0 * size) * (0.7 + 0.3 * speed)
            top, left = max(0, int(cy) - 7), max(0, int(cx) - 7)
            near = np.s_[top : top + 15, left : left + 15]
            bright[near] += (0.25 + 0.3 * size) * np.exp(
                -((X[near] - cx) ** 2 + (Y[near] - cy) ** 2) / radius**2
            )
        canvas.glow((0.85, 0.95, 0.9), np.clip(bright, 0, 0.6))

    def jelly(self, canvas: Canvas, t: int) -> None:
        beat = 2 * np.pi * t / 40
        pulse = np.sin(beat) + 0.25 * np.sin(2 * beat + 0.6)
        centre = np.array(
            (226 + 1.55 * t + 10 * np.sin(t / 31), 168 - 30 * np.sin(t / 46) - 5 * np.sin(beat + 1.9))
        )
        tilt = 0.30 + 0.22 * np.sin(t / 34)
        size = 60 * (1 + 0.0014 * t)
        wide, tall = size * (1.12 + 0.15 * pulse), size * (0.98 - 0.15 * pulse)
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        canvas.glow(
            (0.5, 0.3, 0.5), 0.35 * np.exp(-((X - centre[0]) ** 2 + (Y - centre[1]) ** 2) / (2.2 * size) ** 2)
        )
        self.arms(canvas, t, centre, turn, wide, tall, size)
        u = ((X - centre[0]) * turn[0, 0] + (Y - centre[1]) * turn[1, 0]) / wide
        v = ((X - centre[0]) * turn[0, 1] + (Y - centre[1]) * turn[1, 1]) / tall
        angle = np.arctan2(u, 0.55 - v)
        hem = 0.30 + 0.06 * np.cos(angle * 15 + 0.6 * np.sin(beat)) - 0.16 * u * u
        dome = np.hypot(u, v + 0.0) - 1
        bell = np.maximum(np.where(v < 0, dome, np.abs(u) - 1 + 0.22 * v * v), v - hem)
        canvas.paint(self.bell(u, v, hem, angle, pulse), cover(bell) * 0.97, 1)

    def bell(self, u, v, hem, angle, pulse) -> np.ndarray:
        skin = sample(self.skin, 130 + u * 70, 130 + v * 70)
        colour = mix((0.98, 0.62, 0.50), (0.60, 0.26, 0.56), smooth(-0.9, 0.35, v + 0.25 * (skin - 0.5)))
        stripes = smooth(0.55, 0.9, np.cos(angle * 15)) * smooth(-0.95, -0.3, v)
        colour = mix(colour, (0.42, 0.13, 0.40), 0.5 * stripes)
        clover = np.exp(
            -(((np.hypot(u * 1.2, v + 0.42) - 0.30 - 0.05 * np.cos(4 * np.arctan2(v + 0.42, u))) / 0.07) ** 2)
        )
        colour = mix(colour, (1.0, 0.86, 0.66), 0.75 * clover)
        rim = np.exp(-(((v - hem) / 0.09) ** 2))
        colour = mix(colour, (1.0, 0.80, 0.74), 0.7 * rim)
        edge = 1 - 0.42 * smooth(0.5, 1.0, np.hypot(u, np.minimum(v, 0)))
        light = (0.78 + 0.22 * skin) * edge * (1 - 0.28 * u) * (1 + 0.05 * pulse)
        shine = 0.5 * np.exp(-((u + 0.38) ** 2 / 0.05 + (v + 0.62) ** 2 / 0.02))
        return np.clip(colour * light[..., None] + shine[..., None], 0, 1)

    def arms(self, canvas: Canvas, t: int, centre, turn, wide: float, tall: float, size: float) -> None:
        """Seven thin tentacles from the hem and four broad frilled arms from the middle trail the motion."""
        down = np.linspace(0, 1, 28)
        for i in range(11):
            broad = i >= 7
            place = (i - 8.5) / 3.6 if broad else (i - 3) / 3.5
            length = size * (2.25 if broad else 2.5 + 0.5 * np.sin(i * 2.3))
            sway = np.sin(5.2 * down + i * 1.3 - 2 * np.pi * t / 40) * (0.10 + 0.16 * down) * size
            spread = place * wide * (0.85 - (0.45 if broad else 0.25) * down)
            drag = -34 * down**1.7 * (1 + 0.35 * np.sin(t / 34))
            local = np.stack([spread + sway * (0.6 if broad else 0.9), 0.22 * tall + down * length], 1)
            spine = centre + local @ turn.T + np.stack([drag, 0 * drag], 1)
            frill = 1 + (0.3 * np.sin(26 * down + i + t / 6) if broad else 0)
            radius = (10.5 * (1 - 0.74 * down) if broad else 3.6 - 2.0 * down) * frill * size / 60
            coverage = ribbon(HEIGHT, WIDTH, spine, radius)
            fade = np.clip((Y - centre[1]) / length, 0, 1)
            near = (0.93, 0.62, 0.66) if broad else (0.80, 0.47, 0.62)
            colour = (
                mix(near, (0.62, 0.40, 0.70), fade)
                * (0.72 + 0.5 * sample(self.skin, X * 2, Y * 2 - t))[..., None]
            )
            if broad:
                canvas.shade(0.25 * blur(np.roll(coverage, (3, 3), (0, 1)), 2))
            canvas.paint(np.clip(colour * (0.8 + 0.05 * (i % 4)), 0, 1), coverage, 1)
