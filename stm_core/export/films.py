"""Films: the overlay, cut-outs with alpha or on green, and a black and white matte an object.

All have the clip's frame times, and all but the mattes its sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from stm_core.errors import VideoError
from stm_core.export.finished_run import WITHOUT_CLOCK
from stm_core.export.order import Format, Order
from stm_core.export.pngs import cut_out
from stm_core.export.sinks import Sink
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import on_screen

GREEN = (0, 177, 64)  # chroma key green
Mix = Callable[[np.ndarray, np.ndarray, Order], np.ndarray]


def _over(image: np.ndarray, labels: np.ndarray, order: Order) -> np.ndarray:
    return overlay(image, labels, alpha=order.options.opacity, colours=on_screen(order.options.colours))


def _alpha(image: np.ndarray, labels: np.ndarray, order: Order) -> np.ndarray:
    return cut_out(image, labels)


def _green(image: np.ndarray, labels: np.ndarray, order: Order) -> np.ndarray:
    return np.where(labels[..., None] > 0, image, np.array(GREEN, np.uint8))


def _names(order: Order, ending: str) -> Iterator[str]:
    yield f"{order.stem()}{ending}"


def _write(order: Order, sink: Sink, ending: str, kind: str, mix: Mix) -> Iterator[int]:
    """One film of the frames that have masks; a hole between them stays without a mask."""
    writer = None
    try:
        for done, shot in enumerate(order.result.shots(pictures=True, gaps=True), 1):
            assert shot.image is not None and shot.seconds is not None
            if writer is None:
                writer = _film(order, sink, f"{order.stem()}{ending}", kind, shot.seconds)
            writer.write(mix(shot.image, shot.labels, order), shot.seconds)
            yield done
        if writer is None:
            raise VideoError("no frame of the clip could be read again; give or upload it once more")
        writer.close()
        sink.warnings += writer.warnings
    except BaseException:
        if writer is not None:
            writer.abort()
        raise


def _film(order: Order, sink: Sink, name: str, kind: str, began: float) -> Any:
    """A writer with the clip's clock.  began: seconds of the first frame with a mask."""
    result = order.result
    clip = result.clip
    assert clip is not None
    return sink.film(
        name,
        *(result.width, result.height),
        source=None if clip.container in WITHOUT_CLOCK else clip.path,
        fps=clip.fps,
        kind=kind,
        offset=began if result.frames[0] else 0.0,
    )


def _matte_names(order: Order) -> Iterator[str]:
    yield from (f"{order.stem(number)}.mp4" for number in order.result.objects)


def _write_mattes(order: Order, sink: Sink) -> Iterator[int]:
    """The clip is decoded once, for its times; then the mattes are made one after the other."""
    result, done = order.result, 0
    times: list[float] = []
    first, wanted = result.frames[0], set(result.frames)
    for shot in result.shots(pictures=True, gaps=True):
        assert shot.seconds is not None
        times.append(shot.seconds)
        yield done
    for number in result.objects:
        with _film(order, sink, f"{order.stem(number)}.mp4", "matte", times[0]) as writer:
            for index, seconds in enumerate(times, first):
                mask = result.labels(index) == number if index in wanted else np.zeros((1, 1), bool)
                grey = np.where(np.broadcast_to(mask, (result.height, result.width)), 255, 0).astype(np.uint8)
                writer.write(grey[..., None].repeat(3, axis=2), seconds)
                done += 1
                yield done


def _one(name: str, sentence: str, ending: str, template: str, kind: str, mix: Mix) -> Format:
    """A format that makes one film."""
    return Format(
        *(name, sentence, ending, template, (), "needed"),
        partial(_names, ending=ending),
        partial(_write, ending=ending, kind=kind, mix=mix),
    )


OVERLAY = _one(
    "overlay-mp4", "The clip with its masks drawn in, MP4 with sound", ".mp4", "{clip}_overlay", "mp4", _over
)
WEBM = _one(
    "rgba-webm",
    "The objects cut out, WebM with alpha, for web pages",
    *(".webm", "{clip}_alpha", "webm-alpha", _alpha),
)
GREEN_MP4 = _one(
    "green-mp4", "The objects on a green screen, MP4 with sound", ".mp4", "{clip}_green", "mp4", _green
)
PRORES = _one(
    "prores4444",
    "The objects cut out, ProRes 4444 MOV with alpha, for editors",
    *(".mov", "{clip}_alpha", "prores4444", _alpha),
)
MATTE = Format(
    "matte-mp4",
    "A black and white MP4 per object, as track matte",
    *(".mp4", "{clip}_{object}_matte", ("object",), "needed"),
    _matte_names,
    _write_mattes,
)
