"""What page and web API share to let a visitor download a run in a format of `stm_core.export`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from demo.guard.process import Guard
from stm_core.errors import OptionError
from stm_core.export.finished_run import Result
from stm_core.export.order import Format, Options, Order
from stm_core.export.registry import formats_of

CPU_SECONDS = 3600


def chosen(names: object) -> list[Format]:
    """The formats of a list of names, or of a text with commas.  OptionError when it is neither."""
    found = names.replace(",", " ").split() if isinstance(names, str) else names or []
    if not isinstance(found, list):
        raise OptionError(f'formats must be a list of names such as ["coco"], got {str(names)[:60]}')
    return formats_of(str(name) for name in found)


def ordered(
    run: Path, frames: list[int], objects: dict[int, str], name: str, which: Format, options: Options
) -> Order:
    """The order for a run in the folder `run`, enough to name its files; only the guard opens the clip."""
    return Order(Result(run / "masks", tuple(sorted(frames)), objects, name, 1, 1), which, options)


def take(guard: Guard, order: Order, clip: str | Path, target: Path) -> Iterator[tuple[dict, object]]:
    """Make one file of a run behind the guard; yields its progress, and at the end its warnings."""
    target.parent.mkdir(parents=True, exist_ok=True)
    result = order.result
    return guard.stream(
        "export",
        cpu_seconds=CPU_SECONDS,
        clip=str(clip),
        folder=str(result.masks.parent),
        out=str(target),
        frames=list(result.frames),
        which=order.format.name,
        objects=list(result.objects.items()),
        name=result.name,
        options=asdict(order.options),
    )
