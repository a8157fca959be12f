"""The peers that `time_peers.py` times: how each starts from a checkout of it, and how it takes a frame.

Their code is imported from the user's checkout, which is first on the import path; only the names of what is
called stand here. All run on the CPU, as their own evaluation of DAVIS does otherwise: memory every 5 frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Step = Callable[[np.ndarray], np.ndarray]  # uint8 (H, W, 3), the next frame -> labels (H, W)
EVERY = 5  # all three remember one frame in this many
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
XMEM_CONFIG = {  # what its eval.py says where no option is given
    "mem_every": EVERY,
    "deep_update_every": -1,
    "enable_long_term": True,
    "enable_long_term_count_usage": True,
    "max_mid_term_frames": 10,
    "min_mid_term_frames": 5,
    "max_long_term_elements": 10_000,
    "num_prototypes": 128,
    "top_k": 30,
}


@dataclass(frozen=True)
class Peer:
    """One of them.

    option: names it on the command line.
    repository: where its checkout comes from.
    entry: a file of the checkout, by which it is known.
    start: from the checkout, the weights and labels (H, W) of the first frame, objects 1 to N.
    """

    name: str
    option: str
    repository: str
    entry: str
    start: Callable[[Path, Path, np.ndarray], Step]


def start_stm(checkout: Path, weights: Path, labels: np.ndarray) -> Step:
    """STM as its eval_DAVIS.py runs it: the latest frame and every fifth are in memory."""
    from model import STM

    network = STM().eval()
    saved = _saved(weights)  # from torch.nn.DataParallel
    network.load_state_dict({name.removeprefix("module."): value for name, value in saved.items()})
    count = torch.tensor([int(labels.max())])
    kept: list[tuple[Tensor, Tensor]] = []  # keys and values of the frames that stay
    before: list[tuple[Tensor, Tensor]] = []  # each frame so far, with its masks: the latest only
    seen = 0

    def step(image: np.ndarray) -> np.ndarray:
        nonlocal seen
        frame, masks = _pixels(image)[None], _one_hot(labels)[None]
        if before:
            memory = [*kept, network(*before.pop(), count)]
            if (seen - 1) % EVERY == 0:
                kept[:] = [_joined(memory)]
            masks = network(frame, *_joined(memory), count).softmax(dim=1)
        before.append((frame, masks))
        seen += 1
        return _strongest(masks[0])

    return step


def _joined(memory: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Keys and values (1, N + 1, C, T, h, w) of several frames as one."""
    keys, values = zip(*memory, strict=True)
    return torch.cat(keys, dim=3), torch.cat(values, dim=3)


def start_xmem(checkout: Path, weights: Path, labels: np.ndarray) -> Step:
    """XMem as its eval.py runs it, with long-term memory."""
    from inference.inference_core import InferenceCore
    from model.network import XMem

    config = dict(XMEM_CONFIG)
    network = XMem(config).eval()  # adds its sizes to the config
    network.load_weights(_saved(weights), init_as_zero_if_needed=True)
    core, objects = InferenceCore(network, config), list(range(1, int(labels.max()) + 1))
    core.set_all_labels(objects)
    given = [_one_hot(labels)[1:], objects]
    mean, deviation = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, DEVIATION))

    def step(image: np.ndarray) -> np.ndarray:
        found = core.step(((_pixels(image) - mean) / deviation)[None], *given)
        given.clear()
        return _strongest(found)

    return step


def start_cutie(checkout: Path, weights: Path, labels: np.ndarray) -> Step:
    """Cutie with its configuration for DAVIS; small, if the name of the weights says so."""
    from cutie.inference.inference_core import InferenceCore
    from cutie.inference.utils.args_utils import get_dataset_cfg
    from cutie.model.cutie import CUTIE
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    # its get_default_model does the same for the base model, and needs CUDA
    size = "small" if "small" in weights.name else "base"
    with initialize_config_dir(str(checkout / "cutie" / "config"), version_base="1.3.2"):
        config = compose("eval_config", overrides=[f"model={size}"])
    with open_dict(config):
        config["weights"] = str(weights)
    get_dataset_cfg(config)
    network = CUTIE(config).eval()
    network.load_weights(_saved(weights))
    core = InferenceCore(network, cfg=config)
    given = {"mask": torch.from_numpy(labels), "objects": list(range(1, int(labels.max()) + 1))}

    def step(image: np.ndarray) -> np.ndarray:
        found = core.step(_pixels(image), **given)
        given.clear()
        return _strongest(found)

    return step


PEERS = (
    Peer("STM", "stm", "seoungwugoh/STM", "eval_DAVIS.py", start_stm),
    Peer("XMem", "xmem", "hkchengrex/XMem", "inference/inference_core.py", start_xmem),
    Peer("Cutie", "cutie", "hkchengrex/Cutie", "cutie/inference/inference_core.py", start_cutie),
)


def _saved(weights: Path) -> dict[str, Tensor]:
    return torch.load(weights, map_location="cpu", weights_only=True)


def _pixels(image: np.ndarray) -> Tensor:
    """float32 (3, H, W), 0 to 1."""
    return torch.tensor(image).permute(2, 0, 1).float() / 255


def _one_hot(labels: np.ndarray) -> Tensor:
    """float32 (N + 1, H, W); the background is first."""
    return torch.stack([torch.from_numpy(labels == n) for n in range(int(labels.max()) + 1)]).float()


def _strongest(masks: Tensor) -> np.ndarray:
    return masks.argmax(dim=0).byte().numpy()
