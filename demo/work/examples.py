"""The bundled examples: NAME.mp4 with NAME.json and NAME.png beside it."""

import json
import logging
import tempfile
from collections.abc import Collection
from pathlib import Path

from demo.guard.process import Guard
from stm_core.errors import StmError

log = logging.getLogger(__name__)


def about(path: Path) -> dict:
    """What the JSON file of an example says: title, sentence, objects (names), clicks [frame, x, y, label,
    object].  An empty dictionary when there is no such file.
    """
    beside = path.with_suffix(".json")
    return json.loads(beside.read_text()) if beside.exists() else {}


def names(folder: Path) -> list[str]:
    """The names of all examples."""
    return sorted(path.stem for path in folder.glob("*.mp4"))


def shown(
    folder: Path, wanted: Collection[str], guard: Guard, scratch: Path, side: int
) -> dict[str, tuple[dict, bytes]]:
    """(what `about` says, JPEG of the first frame) of each wanted example that can be read now, by name.

    scratch: a folder for temporary files.  side: most pixels of the JPEG's sides.
    """
    found = {}
    scratch.mkdir(parents=True, exist_ok=True)
    for path in (folder / f"{name}.mp4" for name in wanted):
        try:
            with tempfile.TemporaryDirectory(dir=scratch) as made:
                guard.call("check", path=str(path), folder=made, start=0, stop=1, side=side)
                found[path.stem] = about(path), (Path(made) / "proxy" / "00000.jpg").read_bytes()
        except (StmError, OSError) as error:
            log.warning("example %s is left out for now: %s", path.name, error)
    return found
