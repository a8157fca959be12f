"""The formats in which a run can be exported: one table for the command, the page and the API."""

from collections.abc import Iterable

from stm_core.errors import OptionError
from stm_core.export import (
    coco,
    cvat,
    davis,
    films,
    inpainting,
    labelme,
    labelstudio,
    outlines_json,
    pngs,
    yolo,
)
from stm_core.export.order import Format

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        films.OVERLAY,
        pngs.PALETTE,
        pngs.BINARY,
        films.WEBM,
        films.GREEN_MP4,
        films.PRORES,
        pngs.RGBA,
        films.MATTE,
        outlines_json.FORMAT,
        coco.FORMAT,
        yolo.FORMAT,
        cvat.FORMAT,
        labelstudio.FORMAT,
        labelme.FORMAT,
        davis.DAVIS,
        davis.YOUTUBE,
        inpainting.FORMAT,
    )
}


def formats_of(names: Iterable[str]) -> list[Format]:
    """The formats of these names, each once.  Raises OptionError for a name that is not in the table."""
    found = []
    for name in dict.fromkeys(names):
        if name not in FORMATS:
            raise OptionError(
                f"there is no export format {str(name)[:40]!r}; choose from {', '.join(FORMATS)}"
            )
        found.append(FORMATS[name])
    return found
