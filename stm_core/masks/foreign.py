"""From any mask picture to labels: binary, ids in grey or palette, one colour per object, with or without
soft edges.

The trap is the soft edge: a brush or a resize leaves hundreds of in-between colours, and each would become
an object. Where there are such colours, one counts as an object only if it fills a 3x3 block; every other
pixel joins the touching object that is nearest in colour (touching, because a mix of two objects' colours may
be the colour of a third).
"""

import numpy as np
from PIL import Image

from stm_core.errors import MaskError
from stm_core.masks.palette import IGNORE, MAX_OBJECTS, PALETTE, VOC

LOSSY = ("JPEG", "WEBP")
LOSSY_DISTANCE = 48  # how far JPEG moves a flat colour, per channel
HARD_COLOURS = 16  # of more, some may be in-between; those of DAVIS are known
MIX_DISTANCE = 3  # how far a colour may lie from the line between two others and still be their mix
PHOTO_SHARE = 0.3  # more in-between pixels than this: no mask
_GREY = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)


def labels_of_image(image: Image.Image, name: str) -> np.ndarray:
    """uint8 (H, W) labels of a decoded picture.  Raises MaskError when it cannot be a mask."""
    lossy = image.format in LOSSY
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "P":
        ids = _from_palette(image, name)
        if ids is not None:
            return ids
    if image.mode == "L":
        return _from_grey(np.asarray(image), name, lossy)
    if image.mode.startswith(("I", "F")):
        return _from_grey(_to_eight_bit(np.asarray(image), name), name, lossy)
    rgba = np.array(image.convert("RGBA"))
    clear = rgba[..., 3] < 128
    rgb = rgba[..., :3]
    if clear.any() and not rgb[~clear].any():
        return (~clear).astype(np.uint8)  # black on transparent: what is there is the object
    rgb[clear] = 0
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all():
        return _from_grey(rgb[..., 0], name, lossy)
    return _from_colours(rgb, name, lossy)


def _from_palette(image: Image.Image, name: str) -> np.ndarray | None:
    """Palette numbers as ids; None if the palette is only a way to store colours."""
    ids = np.asarray(image)
    used = np.unique(ids)
    raw = np.frombuffer(bytes(image.getpalette() or ()), np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(raw) // 3] = raw[: len(raw) // 3 * 3].reshape(-1, 3)
    if colours[0].any():
        return None
    named = used[used != IGNORE]
    known = any((colours[named] == table[named]).all() for table in (PALETTE, VOC, _GREY))
    if not known and len(np.setdiff1d(used, _solid(ids))):
        return None  # soft edges were quantised into the palette
    return _without_ignore(ids, name)


def _to_eight_bit(values: np.ndarray, name: str) -> np.ndarray:
    top = values.max(initial=0)
    if values.min(initial=0) >= 0 and top <= 255 and (values == values.astype(np.uint8)).all():
        return values.astype(np.uint8)
    if np.isin(values, (0, top)).all():
        return (values == top).astype(np.uint8)  # binary in 16 bit
    raise MaskError(
        f"{name!r} has values up to {top:g}; object ids go from 1 to {MAX_OBJECTS}, renumber them"
    )


def _without_ignore(ids: np.ndarray, name: str) -> np.ndarray:
    """Ids as they are; 255 alone is the object of a binary mask, beside other ids it means "ignore"."""
    ids = ids.astype(np.uint8)
    others = ids[(ids != 0) & (ids != IGNORE)]
    return np.where(ids == IGNORE, 0 if len(others) else 1, ids).astype(np.uint8)


def _from_grey(grey: np.ndarray, name: str, lossy: bool) -> np.ndarray:
    used = np.unique(grey)
    solid = _solid(grey)
    soft = len(np.setdiff1d(used, solid)) > 0
    if not lossy:
        if not soft or (IGNORE not in used and len(used) <= 32):
            steps = used[(used != 0) & (used != IGNORE)]
            small_ids = len(steps) == 0 or steps.max() == len(steps)
            if IGNORE not in used or small_ids:
                return _without_ignore(grey, name)
        elif set(solid.tolist()) <= {0, IGNORE}:
            return (grey >= 128).astype(np.uint8)
    labels = _from_colours(grey[..., None].repeat(3, axis=2), name, lossy)
    return labels


def _from_colours(rgb: np.ndarray, name: str, lossy: bool) -> np.ndarray:
    codes = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    solid = _solid(codes)
    hard = None if lossy else _hard(codes, solid)
    solid = solid if hard is None else hard
    if not len(solid):
        raise MaskError(f"{name!r} has no area of one colour; draw each object in one flat colour on black")
    if lossy:
        codes, solid = _merge(codes, solid)
    colours = _rgb(solid)
    background = int(colours.max(axis=1).argmin())
    if colours[background].max() > 16:
        raise MaskError(f"{name!r} has no black background; paint what is not an object black")
    if len(solid) - 1 > MAX_OBJECTS:
        raise MaskError(
            f"{name!r} has {len(solid) - 1} flat colours, at most {MAX_OBJECTS} objects are possible; "
            "draw each object in one flat colour on black"
        )
    order = np.searchsorted(solid, codes).clip(max=len(solid) - 1)
    exact = solid[order] == codes
    if (~exact).mean() > PHOTO_SHARE:
        raise MaskError(
            f"{name!r} looks like a photograph, not a mask; draw each object in one flat colour on black"
        )
    if hard is None and not exact.all():
        settled = exact if lossy else exact & _covered(codes)
        order = _settle(order, settled, rgb, colours)
    ids = _ids_of(order, colours, background)
    return ids[order]


def _hard(codes: np.ndarray, kept: np.ndarray) -> np.ndarray | None:
    """Sorted colours of a mask without soft edges, however thin its objects are; None if it may have some.

    kept: colours that are no mix for certain.
    """
    used, counts = np.unique(codes, return_counts=True)
    table = {int(code) for code in PALETTE[: MAX_OBJECTS + 1].astype(np.int64) @ (65536, 256, 1)}
    if len(used) > HARD_COLOURS and not (len(used) <= len(table) and table.issuperset(used.tolist())):
        return None
    for code in used[np.argsort(-counts, kind="stable")]:
        if code not in kept:
            if _is_mix(_rgb(np.array([code]))[0], _rgb(kept)):
                return None
            kept = np.append(kept, code)
    return used


def _is_mix(colour: np.ndarray, others: np.ndarray) -> bool:
    """Whether a colour (3,) lies between two of the others (K, 3), or beside one of them."""
    start, way = others[:, None, :], others[None] - others[:, None]
    share = ((colour - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1)  # (K, K)
    distance = np.abs(start + share.clip(0, 1)[..., None] * way - colour).max(-1)
    return bool((distance <= MIX_DISTANCE).any())


def _ids_of(order: np.ndarray, colours: np.ndarray, background: int) -> np.ndarray:
    """uint8 id of each colour: its DAVIS id when all colours are DAVIS colours, else 1, 2, .. in order of
    appearance.
    """
    ids = np.zeros(len(colours), np.uint8)
    objects = np.delete(np.arange(len(colours)), background)
    # from the top down, so that grey 128 is object 7, not 128
    table = {tuple(PALETTE[n].tolist()): n for n in range(MAX_OBJECTS, -1, -1)}
    known = [table.get(tuple(colours[n].tolist())) for n in objects]
    if all(known):
        ids[objects] = known
        return ids
    present, first = np.unique(order, return_index=True)
    ranked = present[np.argsort(first)]
    for n, which in enumerate(ranked[ranked != background], start=1):
        ids[which] = n
    return ids


def _settle(order: np.ndarray, settled: np.ndarray, rgb: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Give every unsettled pixel the settled neighbour nearest in colour, ring by ring."""
    order = np.pad(np.where(settled, order, -1), 1, constant_values=-1)
    y, x = np.nonzero(~settled)
    wanted = rgb[y, x].astype(np.int32)
    y, x = y + 1, x + 1
    while len(y):
        near = np.stack([order[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx], axis=1)
        distance = ((colours.astype(np.int32)[near] - wanted[:, None]) ** 2).sum(axis=2)
        distance[near < 0] = np.iinfo(np.int32).max
        best = distance.argmin(axis=1)
        found = near[np.arange(len(near)), best]
        if (found < 0).all():
            break
        done = found >= 0
        order[y[done], x[done]] = found[done]
        y, x, wanted = y[~done], x[~done], wanted[~done]
    return order[1:-1, 1:-1]


def _uniform(codes: np.ndarray) -> np.ndarray:
    """bool (H-2, W-2): the 3x3 block around this inner pixel has one value."""
    rows = (codes[:, :-2] == codes[:, 1:-1]) & (codes[:, 1:-1] == codes[:, 2:])
    same = (codes[:-2, 1:-1] == codes[1:-1, 1:-1]) & (codes[1:-1, 1:-1] == codes[2:, 1:-1])
    return rows[:-2] & rows[1:-1] & rows[2:] & same


def _solid(codes: np.ndarray) -> np.ndarray:
    """Sorted values that fill a 3x3 block somewhere; all values of a picture too small for blocks."""
    if min(codes.shape) < 3:
        return np.unique(codes)
    return np.unique(codes[1:-1, 1:-1][_uniform(codes)])


def _covered(codes: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels that belong to some 3x3 block of one value."""
    covered = np.zeros(codes.shape, bool)
    uniform = _uniform(codes)
    height, width = uniform.shape
    for dy in range(3):
        for dx in range(3):
            covered[dy : dy + height, dx : dx + width] |= uniform
    return covered


def _rgb(codes: np.ndarray) -> np.ndarray:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)


def _merge(codes: np.ndarray, solid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo lossy compression: near colours become the most frequent one.  Returns new codes and the sorted
    colours kept.
    """
    every, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    frequency = dict(zip(every.tolist(), counts.tolist(), strict=True))
    kept: list[int] = []
    for code in sorted(solid.tolist(), key=lambda c: -frequency[c]):
        far = np.abs(_rgb(np.array(kept or [1 << 30])) - _rgb(np.array([code]))).max(axis=1) > LOSSY_DISTANCE
        if far.all():
            kept.append(code)
        if len(kept) > MAX_OBJECTS + 1:
            break
    keep = np.array(sorted(kept))
    nearest = np.zeros(len(every), np.int64)
    for low in range(0, len(every), 4096):
        distance = np.abs(_rgb(every[low : low + 4096])[:, None] - _rgb(keep)[None]).max(axis=2)
        best = distance.argmin(axis=1)
        near = distance[np.arange(len(best)), best] <= LOSSY_DISTANCE
        nearest[low : low + 4096] = np.where(near, keep[best], every[low : low + 4096])
    return nearest[inverse].reshape(codes.shape).astype(np.int32), keep
