"""The bundled clips as cards: a picture, a title, one sentence on what is interesting about it."""

import base64
import html
import json
import logging
import tempfile
from pathlib import Path

from demo.guard.process import Guard
from stm_core.errors import StmError

log = logging.getLogger(__name__)
WIDTH = 200  # pixels of a card's picture


def about(path: Path) -> dict:
    """What is told of an example beside its film: title, sentence, objects (names), clicks
    [frame, x, y, label, object]; empty when nothing is.
    """
    beside = path.with_suffix(".json")
    return json.loads(beside.read_text()) if beside.exists() else {}


def gallery(guard: Guard, folder: Path, scratch: Path) -> str:
    """HTML of the examples in `folder` (NAME.mp4 with NAME.json beside it); empty when there are none."""
    scratch.mkdir(parents=True, exist_ok=True)
    cards = []
    for path in sorted(folder.glob("*.mp4")):
        known = about(path)
        try:
            with tempfile.TemporaryDirectory(dir=scratch) as place:
                for _ in guard.stream("check", path=str(path), folder=place, start=0, stop=1, side=WIDTH):
                    pass
                data = base64.b64encode((Path(place) / "proxy" / "00000.jpg").read_bytes()).decode()
        except (StmError, OSError) as error:
            log.warning("example %s is left out: %s", path.name, error)
            continue
        title = html.escape(known.get("title", path.stem))
        cards.append(
            f'<button type="button" data-example="{html.escape(path.stem)}" '
            f'title="{html.escape(known.get("sentence", ""))}">'
            f'<img src="data:image/jpeg;base64,{data}" alt="" width="{WIDTH}"><span>{title}</span></button>'
        )
    return f'<div class="stm-cards" aria-label="Example clips">{"".join(cards)}</div>' if cards else ""
