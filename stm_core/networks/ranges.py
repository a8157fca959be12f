"""The range of the values that enter each convolution of a network: int8 needs it, besides the weights.

A file of ranges lies beside a file of weights and names its SHA-256, so that it is never used for others.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from stm_core.errors import WeightsError

Ranges = Mapping[str, tuple[float, float]]  # least and greatest value, by the name of the convolution
SUFFIX = ".int8.json"
DIGITS = 4


class Meter:
    """Collects ranges while a network computes: the least and the greatest value, averaged over calls.

    Averaging gives little weight to a few extreme values on one frame.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def on(self, network: nn.Module) -> Iterator[None]:
        """Inside, every call of one of the network's convolutions counts."""
        hooks = [
            module.register_forward_pre_hook(lambda _, given, name=name: self._add(name, given[0]))
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _add(self, name: str, given: Tensor) -> None:
        given = given.detach()
        self._seen[name].append((float(given.min()), float(given.max())))

    def ranges(self) -> dict[str, tuple[float, float]]:
        """What was found, rounded."""
        return {
            name: (_rounded(sum(low) / len(low)), _rounded(sum(high) / len(high)))
            for name, seen in self._seen.items()
            for low, high in [zip(*seen, strict=True)]
        }


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def ranges_path(weights: Path) -> Path:
    """Where the ranges of a file of weights are."""
    return weights.with_suffix(SUFFIX)


def write_ranges(path: Path, sha256: str, ranges: Ranges) -> None:
    """Write ranges of the weights with that SHA-256: a line a convolution, sorted."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(ranges[name])}" for name in sorted(ranges))
    path.write_text(f'{{\n"sha256": "{sha256}",\n"ranges": {{\n{lines}\n}}\n}}\n')


def read_ranges(path: Path, sha256: str) -> Ranges | None:
    """The ranges of the weights with that SHA-256; None where there is no such file, or it is of others.

    Raises WeightsError when it is damaged.
    """
    try:
        found = json.loads(path.read_text())
        if found["sha256"] != sha256:
            return None
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in found["ranges"].items()}
        if not all(math.isfinite(end) for both in ranges.values() for end in both):
            raise ValueError("a range is not finite")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path} is not a file of ranges: {error!r}; make it again with assets/calibrate.py, or delete it"
        ) from error
    return ranges
