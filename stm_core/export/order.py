"""What is exported and how; and what a format is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from stm_core.errors import OptionError
from stm_core.export.finished_run import Result, Shot
from stm_core.export.names import Template, check_different, safe

if TYPE_CHECKING:
    from stm_core.export.sinks import Sink

JPEG_QUALITY = 95


def _option(text: str, default: Any) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    opacity: of the masks in the overlay, 0 to 1.
    colours: (r, g, b) in the overlay, by object, where it is not the usual one.
    Raises OptionError.
    """

    template: str = _option(
        "how files are named, such as {clip}_{object}_{frame} (default: depends on the format)", ""
    )
    margin: int = _option("pixels by which inpainting masks are grown", 8)
    feather: int = _option("pixels over which inpainting masks fade at their edge", 4)
    prompt: str = _option("text that says what an inpainting model should paint", "")
    opacity: float = 0.5
    colours: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.template:
            Template(self.template)
        for name in ("margin", "feather"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= 200:
                raise OptionError(f"{name} is {value!r}; give a whole number of pixels from 0 to 200")


@dataclass(frozen=True)
class Order:
    """One run in one format."""

    result: Result
    format: Format
    options: Options

    def stem(self, number: int | None = None, frame: int | None = None) -> str:
        """The name of a file without its ending.  number: of an object."""
        template = Template(self.options.template or self.format.template)
        return template.fill(
            clip=self.result.name, obj=None if number is None else self.label(number), frame=frame
        )

    def label(self, number: int) -> str:
        """The name of an object; with its number where two have one name."""
        named = [safe(name).casefold() for name in self.result.objects.values()]
        name = self.result.objects.get(number, f"object{number}")
        return f"{name}-{number}" if named.count(safe(name).casefold()) > 1 else name

    @property
    def sequence(self) -> str:
        """The clip's name as that of a folder."""
        return safe(self.result.name)

    def pictures(self, folder: str) -> Iterator[str]:
        """The names of the clip's pictures in a folder; none where the clip is not known."""
        if self.result.clip is not None:
            yield from (self.picture(folder, index) for index in self.result.frames)

    def picture(self, folder: str, index: int) -> str:
        """The name of one picture in a folder."""
        return f"{folder}/{self.stem(frame=index)}.jpg"

    def shots(self) -> Iterator[Shot]:
        """The frames, with pictures where the clip is known."""
        return self.result.shots()

    def names(self) -> list[str]:
        """All files that will be made, in order.  Raises OptionError: the clip is needed, double names."""
        if self.format.clip == "needed" and self.result.clip is None:
            raise OptionError(
                f"{self.format.name} needs the clip's pictures, and the clip is not where the report says; "
                "give it with --clip"
            )
        self._check()
        return list(self.format.names(self))

    def _check(self) -> None:
        template = self.options.template or self.format.template
        check_different(self._stems(), template, self.format.per)

    def _stems(self) -> list[str]:
        """The names that the template gives, one for each file that it names."""
        numbers = list(self.result.objects) if "object" in self.format.per else [None]
        frames = list(self.result.frames) if "frame" in self.format.per else [None]
        return [self.stem(number, frame) for frame in frames for number in numbers]

    @property
    def file_name(self) -> str:
        """The name of one file that holds the whole export."""
        name = self.sequence
        return (
            f"{self.stem()}{self.format.ending}" if self.format.single else f"{name}_{self.format.name}.zip"
        )

    def preview(self) -> list[str]:
        """The first names that the template gives.  Raises OptionError when two would be one."""
        self._check()
        return [f"{stem}{self.format.ending}" for stem in self._stems()[:2]]

    def write(self, sink: Sink) -> Iterator[int]:
        """Make the files; yields how many frames are done, again and again."""
        yield from self.format.write(self, sink)


@dataclass(frozen=True)
class Format:
    """One way to write a run.

    sentence: what it is for.
    ending: of the files that the template names.
    template: the default one.
    per: the fields of a template that tell its files apart.
    clip: "needed": it cannot be made without the clip; "beside": with pictures if the clip is known.
    """

    name: str
    sentence: str
    ending: str
    template: str
    per: tuple[str, ...]
    clip: Literal["", "beside", "needed"]
    names: Callable[[Order], Iterable[str]]
    write: Callable[[Order, Sink], Iterator[int]]

    @property
    def single(self) -> bool:
        """Whether it always makes a single file."""
        return not self.per


def jpeg(image: np.ndarray) -> bytes:
    """The picture uint8 (H, W, 3) as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def png(image: np.ndarray) -> bytes:
    """The picture uint8 (H, W), (H, W, 3) or (H, W, 4) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a bool mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def masks_of(shot: Shot, objects: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(id, bool (H, W)) of the objects that have a pixel on a frame."""
    present = np.bincount(shot.labels.ravel(), minlength=256)
    yield from ((number, shot.labels == number) for number in objects if present[number])
