"""Labels from any picture of a mask: two levels, ids in grey or palette, or one colour an object.

The trap is soft edges: a brush or a resize leaves hundreds of in-between colours, and each would become
an object. If there are such colours, a colour counts as an object only if it fills a 3x3 block. Every other
pixel joins the object nearest in colour among those that it touches. It must touch, because a mix of the
colours of two objects may be the colour of a third.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from stm_core.errors import MaskError
from stm_core.masks.palette import IGNORE, MAX_OBJECTS, PALETTE, VOC

LOSSY = ("JPEG", "WEBP")
LOSSY_DISTANCE = 48  # how far JPEG moves a flat colour, per channel
FEW_LEVELS = 32  # so few greys may be ids even where one fills no 3x3 block
FEW_COLOURS = 16  # so few colours may all be objects even where one fills no 3x3 block
MIX_DISTANCE = 3  # how far a colour may lie from the line between two others and still be their mix
PHOTO_SHARE = 0.3  # more in-between pixels than this: no mask
_GREY = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)


def labels_of_image(image: Image.Image, name: str) -> np.ndarray:
    """uint8 (H, W) labels of a decoded picture.  Raises MaskError when it cannot be a mask."""
    lossy = image.format in LOSSY
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "P":
        ids = _from_palette(image)
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
        return (~clear).astype(np.uint8)  # black on transparent: what is not transparent is the object
    rgb[clear] = 0
    if clear.any() and _is_photo(rgb, ~clear):
        return (~clear).astype(np.uint8)  # the frame itself, cut out: what is not transparent is the object
    if (rgb == rgb[..., :1]).all():
        return _from_grey(rgb[..., 0], name, lossy)
    return _from_colours(rgb, name, lossy)


def _is_photo(rgb: np.ndarray, inside: np.ndarray) -> bool:
    """Whether a part of a picture, bool (H, W), has many colours and few flat areas."""
    codes = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    if not inside.any() or len(np.unique(codes[inside])) <= FEW_COLOURS:
        return False
    return bool((~_covered(codes))[inside].mean() > PHOTO_SHARE)


def _from_palette(image: Image.Image) -> np.ndarray | None:
    """Palette numbers as ids; None if the palette is only a way to store colours."""
    ids = np.asarray(image)
    raw = np.frombuffer(bytes(image.getpalette() or ()), np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(raw) // 3] = raw[: len(raw) // 3 * 3].reshape(-1, 3)
    if colours[0].any():
        return None
    used = np.unique(ids)
    named = used[used != IGNORE]
    known = any((colours[named] == table[named]).all() for table in (PALETTE, VOC, _GREY))
    if not known and len(solid(ids)) < len(used):
        return None  # soft edges were quantised into the palette
    return _without_ignore(ids)


def _to_eight_bit(values: np.ndarray, name: str) -> np.ndarray:
    top = values.max(initial=0)
    if values.min(initial=0) >= 0 and top <= 255 and (values == values.astype(np.uint8)).all():
        return values.astype(np.uint8)
    if np.isin(values, (0, top)).all():
        return (values == top).astype(np.uint8)  # binary in 16 bit
    raise MaskError(
        f"{name!r} has values up to {top:g}; object ids go from 1 to {MAX_OBJECTS}, renumber them"
    )


def _without_ignore(ids: np.ndarray) -> np.ndarray:
    """Ids without 255, which means "ignore" beside other ids; 255 alone is the object of a binary mask."""
    alone = np.isin(ids, (0, IGNORE)).all()
    return np.where(ids == IGNORE, 1 if alone else 0, ids).astype(np.uint8)


def _from_grey(grey: np.ndarray, name: str, lossy: bool) -> np.ndarray:
    """Greys as ids, as black and white with soft edges, or as colours: whatever they look like."""
    used, flat = np.unique(grey), solid(grey)
    levels = used[(used != 0) & (used != IGNORE)]
    soft = len(flat) < len(used)
    counted = levels.max(initial=0) == len(levels)  # 1, 2, 3 and so on: beside them 255 means "ignore"
    if not lossy:
        if (counted or IGNORE not in used) and (not soft or len(used) <= FEW_LEVELS):
            return _without_ignore(grey)
        if soft and np.isin(flat, (0, IGNORE)).all():
            return (grey >= 128).astype(np.uint8)
    return _from_colours(grey[..., None].repeat(3, axis=2), name, lossy)


def _from_colours(rgb: np.ndarray, name: str, lossy: bool) -> np.ndarray:
    """Each flat colour is an object, the darkest one background; other pixels join what they touch."""
    codes = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    used, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    flat = solid(codes)
    if lossy:
        flat = _distinct(flat, counts[np.searchsorted(used, flat)])
    elif _all_flat(used, counts, flat):
        flat = used
    if not len(flat):
        raise MaskError(f"{name!r} has no area of one colour; draw each object in one flat colour on black")
    colours = _rgb(flat)
    background = int(colours.max(axis=1).argmin())
    if colours[background].max() > 16:
        raise MaskError(f"{name!r} has no black background; paint what is not an object black")
    if len(flat) - 1 > MAX_OBJECTS:
        raise MaskError(
            f"{name!r} has {len(flat) - 1} flat colours, but at most {MAX_OBJECTS} objects are possible; "
            "draw each object in one flat colour on black"
        )
    nearest, distance = _nearest(_rgb(used), colours)
    order = nearest[inverse].reshape(codes.shape)
    settled = (distance <= (LOSSY_DISTANCE if lossy else 0))[inverse].reshape(codes.shape)
    if (~settled).mean() > PHOTO_SHARE:
        raise MaskError(
            f"{name!r} looks like a photograph, not a mask; draw each object in one flat colour on black"
        )
    if not settled.all():
        order = _settle(order, settled if lossy else settled & _covered(codes), rgb, colours)
    return _ids_of(order, colours, background)[order]


def _all_flat(used: np.ndarray, counts: np.ndarray, solid: np.ndarray) -> bool:
    """Whether all colours of a mask are objects, however thin: none is a mix of others."""
    known = PALETTE[: MAX_OBJECTS + 1].astype(np.int64) @ (65536, 256, 1)
    if len(used) > FEW_COLOURS and not np.isin(used, known).all():
        return False
    flat = solid
    for code in used[np.argsort(-counts, kind="stable")]:
        if code not in flat:
            if _is_mix(_rgb(code[None])[0], _rgb(flat)):
                return False
            flat = np.append(flat, code)
    return True


def _is_mix(colour: np.ndarray, others: np.ndarray) -> bool:
    """Whether a colour (3,) lies between two of the others (K, 3), or very near one of them."""
    start, way = others[:, None, :], others[None] - others[:, None]
    share = ((colour - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1)  # (K, K)
    distance = np.abs(start + share.clip(0, 1)[..., None] * way - colour).max(-1)
    return bool((distance <= MIX_DISTANCE).any())


def _ids_of(order: np.ndarray, colours: np.ndarray, background: int) -> np.ndarray:
    """uint8 id of each colour: its DAVIS id if all are DAVIS colours, else counted from the top down."""
    ids = np.zeros(len(colours), np.uint8)
    objects = np.delete(np.arange(len(colours)), background)
    # from the top down, so that grey 128 is object 7, not 128
    table = {tuple(PALETTE[n].tolist()): n for n in range(MAX_OBJECTS, -1, -1)}
    known = [table.get(tuple(colours[n].tolist()), 0) for n in objects]
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


def _blocks(codes: np.ndarray) -> np.ndarray:
    """bool (H-2, W-2): whether the 3x3 block around each inner pixel has one value."""
    rows = (codes[:, :-2] == codes[:, 1:-1]) & (codes[:, 1:-1] == codes[:, 2:])
    same = (codes[:-2, 1:-1] == codes[1:-1, 1:-1]) & (codes[1:-1, 1:-1] == codes[2:, 1:-1])
    return rows[:-2] & rows[1:-1] & rows[2:] & same


def solid(codes: np.ndarray) -> np.ndarray:
    """Sorted values that fill a 3x3 block somewhere; all values of a picture too small for blocks."""
    return np.unique(codes if min(codes.shape) < 3 else codes[1:-1, 1:-1][_blocks(codes)])


def _covered(codes: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels that belong to some 3x3 block of one value."""
    return np.asarray(sliding_window_view(np.pad(_blocks(codes), 2), (3, 3)).any(axis=(2, 3)))


def _rgb(codes: np.ndarray) -> np.ndarray:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)


def _distinct(solid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The colours that lossy compression began with, sorted: of near ones only the most frequent."""
    kept = solid[:0]
    for code in solid[np.argsort(-counts, kind="stable")]:
        if (np.abs(_rgb(kept) - _rgb(code[None])).max(axis=1) > LOSSY_DISTANCE).all():
            kept = np.append(kept, code)
        if len(kept) > MAX_OBJECTS + 1:
            break
    return np.sort(kept)


def _nearest(colours: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of the colours (N, 3): the nearest flat one, and how far it is in its farthest channel."""
    which, least = np.zeros(len(colours), np.int64), np.full(len(colours), 256)
    for n, colour in enumerate(flat):  # at most 255; all at once would take gigabytes for a photograph
        distance = np.abs(colours - colour).max(axis=1)
        closer = distance < least
        which[closer], least[closer] = n, distance[closer]
    return which, least
