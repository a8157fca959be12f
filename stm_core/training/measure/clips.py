"""What the measures take: clips of one object whose true masks are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Clip = tuple[Path, list[np.ndarray]]  # folder of its pictures; its true masks uint8 (H, W), 0 = background
