"""The compact Space-Time Memory network: small enough for two CPU cores, trained by this project.

The idea is the paper's (Oh et al., ICCV 2019): past frames are stored as keys and values, and the current
frame reads them. These points differ:
- The key of a stored frame is its query key, shared by all objects (STCN, Cheng et al., NeurIPS 2021).
- Keys are compared by cosine.
- The value encoder sees masks and clicks. Its features of the picture come from the query trunk.
- Its own convolutions are dense, with channels in multiples of 32, which suits matrix units of CPUs and GPUs.
- The features of a frozen trunk trained on ImageNet (`efficientnet.py`) are added to those of its own trunk.

Letters: B frames, N rows = B x objects (the objects of one frame are neighbours), H W = processed size
(multiples of 16), f4 f8 f16 = features at that stride, h w = H/16 W/16, Ck key channels, Cv value channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stm_core.networks.compact_layers import PATCH, CompactConfig, Decoder, Trunk, ValueEncoder, enlarge
from stm_core.networks.efficientnet import DEVIATION, MEAN, LiteTrunk
from stm_core.networks.interface import Network, QueryFeatures

CLICK_RADIUS = 5  # pixels of the processed frame
READ_SHARPNESS = 1.0  # scale of affinities outside training: chosen on left-out clips (assets/README.md)
OBJECTS_AT_ONCE = 8  # most objects of a frame in one call of the value encoder
MAX_SHARPNESS = 48.0  # affinity = sharpness * cosine; beyond this bf16 does not separate neighbouring values


class CompactSTM(Network):
    """Space-Time Memory in at most 5 M parameters; takes masks and clicks."""

    stride = 16
    shared_keys = True
    bounded = True  # by MAX_SHARPNESS * READ_SHARPNESS
    takes_clicks = True
    local = True
    least_side = 480  # of smaller frames it sees too little (assets/README.md)
    click_side = 160  # chosen on frames that training did not see (assets/README.md)
    small_side = 224  # what is found there is kept if it is small (assets/README.md)
    click_sides = (112, 288)  # for other masks of a first click: smaller finds the whole, larger a part
    close_side = 256  # side of the square that a small piece around a clicked object fills
    click_passes = 3  # reads of a click: each makes its mask more complete (assets/README.md)

    def __init__(self, config: CompactConfig = CompactConfig()):
        super().__init__()
        self.config = config
        self.key_channels, self.value_channels = config.key, config.value
        self.scale = READ_SHARPNESS  # training uses 1
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.lite = LiteTrunk(config.lite)
        self.trunk = Trunk(config)
        self.key = nn.Conv2d(config.trunk[-1], config.key, 3, padding=1)
        self.log_sharpness = nn.Parameter(torch.tensor(16.0).log())
        self.value = ValueEncoder(config)
        self.decoder = Decoder(config)
        self.splits = [
            (v, d) for v, d in zip((*config.masks, config.value), config.decoder[::-1], strict=True)
        ]
        self.share = nn.ModuleList(  # features of the frame for value encoder and decoder, in one convolution
            nn.Conv2d(width, sum(split), size, padding=size // 2)
            for width, split, size in zip(config.trunk, self.splits, (1, 1, 3), strict=True)
        )

    def encode_query(self, frame: Tensor) -> QueryFeatures:
        """frame (B,3,H,W) in [0,1] -> its key (B,Ck,h,w) and the features that all its objects share."""
        key, *shared = self.features(frame)
        sharpness = self.log_sharpness.exp().clamp(max=MAX_SHARPNESS)
        rows = key.contiguous(memory_format=torch.channels_last)  # as memory keeps and reads it
        unit = F.normalize(rows.float(), dim=1) * sharpness.sqrt()
        return QueryFeatures(unit.to(key.dtype), tuple(shared[:3]), tuple(shared[3:]))

    def features(self, frame: Tensor) -> tuple[Tensor, ...]:
        """frame (B,3,H,W) in [0,1] -> its key, not normalised, and its features at strides 4, 8, 16: three
        maps for the value encoder, three for the decoder.
        """
        x = ((frame - self.mean) / self.std).to(self.key.weight.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        maps = self.trunk(x, *self.lite(x))
        parts = [
            share(f).split(split, dim=1)
            for share, split, f in zip(self.share, self.splits, maps, strict=True)
        ]
        return self.key(maps[2]), *(part[0] for part in parts), *(part[1] for part in parts)

    def encode_memory(
        self,
        frame: Tensor,
        masks: Tensor,
        query: QueryFeatures,
        clicks: Tensor | None = None,
        others: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Key (B,Ck,h,w) and value (N,Cv,h,w) of frames whose masks are known.

        frame: not used, as its features are in `query`.
        masks: (N,H,W) in [0,1].
        clicks: (N,2,H,W) maps of positive and negative clicks.
        others: (N,H,W), the masks of all other objects; None: those of the same frame here.
        """
        batch, rows = len(query.key), len(masks)
        if others is None:
            mine = masks.view(batch, rows // batch, *masks.shape[1:])
            others = (mine.sum(1, keepdim=True) - mine).clamp(0, 1).view_as(masks)
        drawn = masks.new_zeros(rows, 2, *masks.shape[1:]) if clicks is None else clicks
        maps = torch.cat([masks[:, None], others[:, None], drawn], dim=1).to(self.key.weight.dtype)
        if batch == 1:  # one frame: a few objects at a time, which bounds the memory
            parts = [
                self._encode_values(part, query, clicks is not None) for part in maps.split(OBJECTS_AT_ONCE)
            ]
            return query.key, torch.cat(parts)
        return query.key, self._encode_values(maps, query, clicks is not None)

    def _encode_values(self, maps: Tensor, query: QueryFeatures, clicked: bool) -> Tensor:
        """maps (N,4,H,W): mask, others, positive and negative clicks -> value (N,Cv,h,w)."""
        likeness = maps.new_zeros(len(maps), 2, *query.key.shape[2:])
        if clicked:
            likeness = self._likeness(query.key, maps[:, 2:]).to(maps.dtype)
        return self.value(maps, likeness, _rows(query.for_value, len(maps)))

    def decode(self, read: Tensor, query: QueryFeatures) -> Tensor:
        """read (N,Cv,h,w) -> logits float32 (N,H,W)."""
        logits = self.decoder(read, _rows(query.for_decoder, len(read)))
        return enlarge(logits.float(), PATCH)[:, 0]

    def _likeness(self, key: Tensor, clicks: Tensor) -> Tensor:
        """(N,2,h,w): cosine of each key with the mean key at positive, at negative clicks; 0 without any."""
        rows = len(clicks)
        discs = F.avg_pool2d(clicks.float(), self.stride).flatten(2)  # (N,2,hw)
        key = F.normalize(key.float(), dim=1).flatten(2)
        key = key.repeat_interleave(rows // len(key), dim=0)  # (N,Ck,hw)
        clicked = F.normalize(torch.einsum("nsp,ncp->nsc", discs, key), dim=2)  # 0 stays 0
        return torch.einsum("nsc,ncp->nsp", clicked, key).unflatten(2, (clicks.shape[2] // self.stride, -1))


def click_maps(points: Tensor, height: int, width: int) -> Tensor:
    """Discs at clicks, float (N,2,height,width): channel 0 positive, 1 negative.

    points (N,P,3): x, y in pixels of the processed frame and a label, 1 positive, 0 negative, -1 no click
    (padding).
    """
    return add_clicks(points.new_zeros(len(points), 2, height, width, dtype=torch.float32), points)


def add_clicks(maps: Tensor, points: Tensor) -> Tensor:
    """maps (see `click_maps`) with the discs of more points (N,P,3) drawn into them, in place.

    Only the pixels around each click are looked at: the work does not grow with the picture.
    """
    (rows, _, height, width), device = maps.shape, maps.device
    around = torch.arange(-CLICK_RADIUS, CLICK_RADIUS + 2, device=device)
    x, y, label = (points[..., i, None, None] for i in range(3))  # (N,P,1,1)
    xs, ys = x.floor().long() + around, y.floor().long() + around[:, None]
    inside = (xs >= 0) & (xs < width) & (ys >= 0) & (ys < height) & (label >= 0)
    disc = inside & ((xs - x) ** 2 + (ys - y) ** 2 <= CLICK_RADIUS**2)  # (N,P,D,D)
    xs, ys = xs.clamp(0, width - 1), ys.clamp(0, height - 1)
    at = ((label != 1) * height + ys) * width + xs
    maps.view(rows, -1).scatter_reduce_(1, at.flatten(1), disc.flatten(1).float(), "amax")
    return maps


def _rows(features: tuple[Tensor, ...], rows: int) -> tuple[Tensor, ...]:
    """Features of B frames repeated for `rows` objects; those of a single frame are broadcast instead."""
    batch = len(features[0])
    return (
        features if batch in (1, rows) else tuple(f.repeat_interleave(rows // batch, dim=0) for f in features)
    )
