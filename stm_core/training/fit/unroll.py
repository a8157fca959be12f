"""One training step's forward pass: the network on its own predictions over a clip, or on simulated clicks.

Legend: B clips, T frames, K objects a clip, N = B*K rows (as in `compact.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.memory.readout import maps, read, rows
from stm_core.networks.compact import CompactSTM, click_maps
from stm_core.networks.interface import QueryFeatures, aggregate
from stm_core.training.data import closer_crops as closely
from stm_core.training.data.simulated_clicks import first_clicks, next_clicks
from stm_core.training.data.synth import IGNORE, Batch
from stm_core.training.fit.losses import correspondence, segmentation, transported

KEY_WEIGHT = 0.25  # of the two key losses beside the segmentation loss
COARSE_READS = 2  # of a clicked picture before the closer look
ABSENT = -12.0  # logit of an object slot that this clip does not use


def track(network: CompactSTM, batch: Batch, objects: int, hardest: float = 1.0) -> dict[str, Tensor]:
    """Losses of propagating the first frame's mask through the clip; each prediction joins the memory.

    objects: slots used; a larger label counts as background.  Returns scalars: loss, seg, keys, iou.
    """
    labels = _without_others(batch.labels, objects)
    features = _encode(network, batch.frames)
    size = batch.frames.shape[-2:]
    masks = _one_hot(labels[:, 0], objects)  # (B,K,H,W)
    present = masks.flatten(2).sum(2) > 0
    keys: list[Tensor] = []
    values: list[Tensor] = []
    seg, iou = [], []
    for t, query in enumerate(features):
        if t > 0:
            logits = network.decode(_read(query, keys, values, objects), query).unflatten(0, (-1, objects))
            logits = torch.where(present[..., None, None], logits, ABSENT)
            seg.append(segmentation(logits, _known(labels[:, t], present), hardest))
            masks = aggregate(logits)[:, 1:]
            iou.append(_iou(masks, labels[:, t], present))
        if t < len(features) - 1:
            key, value = network.encode_memory(batch.frames[:, t], masks.reshape(-1, *size), query)
            keys.append(key)
            values.append(value)
    key_loss = _key_losses(features, labels, batch.points, objects)
    seg_loss = torch.stack(seg).mean()
    return {
        "loss": seg_loss + KEY_WEIGHT * key_loss,
        "seg": seg_loss,
        "keys": key_loss,
        "iou": torch.stack(iou).mean(),
    }


def click(
    network: CompactSTM,
    batch: Batch,
    rounds: int,
    generator: torch.Generator,
    hardest: float = 1.0,
    closer: bool = False,
) -> dict[str, Tensor]:
    """Losses of segmenting the first frame from simulated clicks.

    Each round adds a click where the error is largest.  closer: of the piece around what a coarse read found.
    Returns scalars: loss, seg, iou.
    """
    labels = _without_others(batch.labels[:, 0], 1)
    frames, truth = batch.frames[:, 0], labels == 1
    points = first_clicks(truth, generator)  # (B,1,3)
    masks = torch.zeros_like(truth, dtype=torch.float32)
    if closer:
        frames, labels, points, masks = _come_closer(network, frames, labels, points, generator)
        truth = labels == 1
    (query,) = _encode(network, frames[:, None])
    present = truth.flatten(1).any(1, keepdim=True)
    seg, iou = [], []
    for _ in range(rounds):
        logits = _clicked(network, frames, query, points, masks)[:, None]
        seg.append(segmentation(logits, torch.where(present[..., None], labels, IGNORE), hardest))
        masks = logits[:, 0].sigmoid().detach()
        iou.append(_iou(masks[:, None], labels, present))
        points = torch.cat([points, next_clicks(masks > 0.5, truth, labels == IGNORE, generator)], dim=1)
    loss = torch.stack(seg).mean()
    return {"loss": loss, "seg": loss, "iou": torch.stack(iou).mean()}


@torch.no_grad()
def _come_closer(
    network: CompactSTM, frames: Tensor, labels: Tensor, points: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frames, labels, clicks and masks of the pieces around what a coarse read finds, one click more."""
    size = frames.shape[-1]
    small, placed = closely.smaller(frames, points)
    (query,) = _encode(network, small[:, None])
    masks = small.new_zeros(len(small), *small.shape[2:])
    for _ in range(COARSE_READS):
        masks = _clicked(network, small, query, placed, masks).sigmoid()
    masks = F.interpolate(masks[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
    more = next_clicks(masks > 0.5, labels == 1, labels == IGNORE, generator)
    points = torch.cat([points, more], dim=1)
    piece = closely.pieces(masks, points, generator)
    side = min(size, closely.COARSE)
    return (
        closely.cut(frames, *piece, side, "bilinear", "reflection"),
        closely.cut_labels(labels, *piece, side),
        closely.moved(points, *piece, side),
        closely.cut(masks, *piece, side, "bilinear", "zeros"),
    )


def _clicked(
    network: CompactSTM, frames: Tensor, query: QueryFeatures, points: Tensor, masks: Tensor
) -> Tensor:
    """Logits (B,H,W) of frames that read themselves, with clicks (B,P,3) and the masks before (B,H,W)."""
    discs = click_maps(points, *masks.shape[1:])
    key, value = network.encode_memory(frames, masks, query, discs)
    return network.decode(_read(query, [key], [value], 1), query)


def _encode(network: CompactSTM, frames: Tensor) -> list[QueryFeatures]:
    """Features of all frames (B,T,3,H,W) in one pass, split by time."""
    length = frames.shape[1]
    whole = network.encode_query(frames.transpose(0, 1).flatten(0, 1))

    def at(features: Tensor, t: int) -> Tensor:
        return features.chunk(length)[t]

    return [
        QueryFeatures(
            at(whole.key, t),
            tuple(at(f, t) for f in whole.for_value),
            tuple(at(f, t) for f in whole.for_decoder),
        )
        for t in range(length)
    ]


def _read(query: QueryFeatures, keys: list[Tensor], values: list[Tensor], objects: int) -> Tensor:
    """The same read as at inference, over the clip's frames so far: (N,Cv,h,w)."""
    height, width = query.key.shape[-2:]
    key_rows = [rows(key) for key in keys]
    value_rows = [rows(value).unflatten(0, (-1, objects)).transpose(1, 2) for value in values]
    readout = read(key_rows, value_rows, rows(query.key), scale=1.0, chunk_bytes=2**31)
    return maps(readout.value.flatten(0, 1), height, width)


def _key_losses(features: list[QueryFeatures], labels: Tensor, points: Tensor, objects: int) -> Tensor:
    """Both key losses of the last frame against the first and of the second against the first."""
    total = []
    small = [
        F.avg_pool2d(
            torch.cat([(labels[:, t] == 0).unsqueeze(1), _one_hot(labels[:, t], objects)], 1).float(), 16
        )
        for t in range(len(features))
    ]
    for t in {1, len(features) - 1}:
        query, memory = features[t].key, features[0].key
        total.append(
            correspondence(query, memory, points[:, t], points[:, 0])
            + transported(query, memory, small[0], small[t])
        )
    return torch.stack(total).mean()


def _without_others(labels: Tensor, objects: int) -> Tensor:
    """Labels whose objects after the first `objects` are background."""
    return labels.masked_fill((labels > objects) & (labels != IGNORE), 0)


def _one_hot(labels: Tensor, objects: int) -> Tensor:
    return torch.stack([labels == k + 1 for k in range(objects)], dim=1).float()


def _known(labels: Tensor, present: Tensor) -> Tensor:
    """Labels with those objects ignored that the first frame did not show."""
    for k in range(present.shape[1]):
        labels = torch.where((labels == k + 1) & ~present[:, k, None, None], IGNORE, labels)
    return labels


@torch.no_grad()
def _iou(masks: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    truth = _one_hot(labels, masks.shape[1]) > 0
    found = (masks > 0.5) & (labels != IGNORE)[:, None]
    union = (truth | found).sum((2, 3))
    valid = present & (union > 0)
    return (((truth & found).sum((2, 3)) / union.clamp(min=1)) * valid).sum() / valid.sum().clamp(min=1)
