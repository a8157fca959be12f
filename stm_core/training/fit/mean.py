"""The mean of weight files.

Weights from several moments of a run, and those it began from, make different errors.  Their mean is a
network of the same size that is often better than each (Wortsman et al., "Model soups", ICML 2022).
"""

from __future__ import annotations

from pathlib import Path

import torch

from stm_core.errors import OptionError, WeightsError
from stm_core.media.written import check_absent
from stm_core.networks.compact import CompactSTM
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.weight_files import read_compact
from stm_core.training.fit.export import write_weights


def mean(shares: dict[Path, float], out: Path) -> str:
    """Write the mean of compact weight files; returns the SHA-256 of the new file.

    shares: how much each file counts, any positive numbers.  Raises OptionError when there are fewer than two
    files, and WeightsError when they are not of one kind.
    """
    if len(shares) < 2:
        raise OptionError(f"a mean of {len(shares)} files says nothing new; give at least two")
    check_absent(out)
    networks = {path: read_compact(path) for path in shares}
    (first, one), *others = networks.items()
    for path, other in others:
        if other.config != one.config:
            raise WeightsError(f"{path} has other sizes than {first}; give files of one network")
        if any(not torch.equal(a, b) for a, b in zip(_frozen(one), _frozen(other), strict=True)):
            raise WeightsError(f"{path} has another frozen trunk than {first}; give files with the same one")
    states = [network.state_dict() for network in networks.values()]
    total = sum(shares.values())
    state = {
        name: sum(share / total * s[name] for share, s in zip(shares.values(), states, strict=True))
        if tensor.is_floating_point() and not name.startswith(FROZEN)
        else tensor
        for name, tensor in states[0].items()
    }
    return write_weights(out, one.config, state)


def _frozen(network: CompactSTM) -> list[torch.Tensor]:
    return list(network.lite.parameters())
