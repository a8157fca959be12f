"""The mean of weight files: `python -m stm_core.training.fit.mean FILE=SHARE ... --out OUT`.

Weights of one run at several times, and those it began from, err in different ways; their mean is one
network of the same size that is often better than each (Wortsman et al., "Model soups", ICML 2022).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch

from stm_core.errors import OptionError, WeightsError
from stm_core.faults import tell
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.weight_files import read_compact
from stm_core.runs.written import check_absent
from stm_core.training.fit.export import write_weights


def mean(shares: dict[Path, float], out: Path) -> str:
    """Writes the mean of compact weight files, each with its share (any positive numbers); the SHA-256 comes
    back.

    Raises OptionError, and WeightsError when files are not of one kind.
    """
    if len(shares) < 2:
        raise OptionError(f"a mean of {len(shares)} files is no mean; give at least two")
    check_absent(out)
    networks = {path: read_compact(path) for path in shares}
    (first, one), *others = networks.items()
    for path, other in others:
        if other.config != one.config:
            raise WeightsError(f"{path} has other sizes than {first}; give files of one network")
        if any(not torch.equal(a, b) for a, b in zip(_frozen(one), _frozen(other), strict=True)):
            raise WeightsError(f"{path} has another frozen trunk than {first}: what reads it cannot be mixed")
    states = [network.state_dict() for network in networks.values()]
    whole = sum(shares.values())
    state = {
        name: sum(share / whole * s[name] for share, s in zip(shares.values(), states, strict=True))
        if tensor.is_floating_point() and not name.startswith(FROZEN)
        else tensor
        for name, tensor in states[0].items()
    }
    return write_weights(out, one.config, state)


def _frozen(network) -> list[torch.Tensor]:
    return list(network.lite.parameters())


def _share(text: str) -> tuple[Path, float]:
    """Of FILE=SHARE; FILE alone has 1.  Raises OptionError."""
    file, mark, number = text.rpartition("=")
    if not mark:
        return Path(text), 1.0
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise OptionError(f"the share in {text!r} is {number!r}; give FILE=SHARE with a number above 0")
    return Path(file), share


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stm_core.training.fit.mean", description=__doc__.splitlines()[0]
    )
    parser.add_argument("files", nargs="+", metavar="FILE=SHARE", help="weights; FILE alone has share 1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        sha256 = mean(dict(map(_share, args.files)), args.out)
    except Exception as error:
        return tell("error", error)
    print(f"{args.out}: SHA-256 {sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
