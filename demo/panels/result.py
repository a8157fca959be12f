"""What comes of a run: the film in the player, and the files to take away."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from demo.draw import charts
from demo.guard import exports as export
from demo.guard.process import Guard
from demo.panels import stage_state as render
from demo.panels.views import View, answers, of_this_clip
from demo.work import saved
from demo.work.quotas import Quotas
from demo.work.visitor import Session
from stm_core.errors import PromptError, StmError
from stm_core.media.files import alone, write_whole

KEPT = 2  # of the results' states whose files stay: a film of the last but one may be under way
FILMS = ("overlay", "alpha", "green")
OPACITY = 0.5  # of the masks, in films and in the live preview


class Downloads:
    """Makes the files of a visitor's results, each once, behind the guard."""

    def __init__(self, guard: Guard, quotas: Quotas):
        self.guard, self.quotas = guard, quotas

    @answers
    def player(self, session: Session) -> View:
        """The overlay film, once a run has ended."""
        if not session.records or session.running or session.filmed == session.revision:
            return {}
        revision = session.revision
        with of_this_clip(session):
            film = self.file(session, "overlay")
        if session.revision != revision:  # an object was deleted meanwhile, and its event brings the film
            return {}
        session.filmed = revision
        self.quotas.copied(session.caller, film)
        return {"player": film}

    @answers
    def make(self, session: Session, kind: str) -> Iterator[View]:
        """Make one of the files and hand it over."""
        yield {"file": None, "made": ""}  # a refusal must not hand over the last one
        if not session.records:
            raise PromptError("there are no masks yet; mark an object and press Track first")
        if session.running:
            raise PromptError("tracking is running; wait for its end or press Stop, then download")
        self.quotas.check(session.caller)
        yield {"made": render.notice(f"Making {export.KINDS[kind]}…", "info")}
        try:
            path = self.file(session, kind)
        except StmError:
            yield {"made": ""}
            raise
        self.quotas.copied(session.caller, path)
        told = f"{Path(path).name} is ready, {charts.size(Path(path).stat().st_size)}."
        if kind == "everything":
            told += self._left_out(path)
        yield {"file": path, "made": render.notice(told, "info")}

    def file(self, session: Session, kind: str) -> str:
        """The path of a finished file of these results; made once per run."""
        name = export.KINDS[kind]
        folder = Path(session.clip.folder) / "files" / str(session.revision)
        target = folder / name
        with alone(target):  # a second event waits here, and takes what the first one made
            if kind == "everything" or not target.exists():  # the former holds the marks, which may change
                self._make(session, kind, folder, target)
        return str(target)

    def _make(self, session: Session, kind: str, folder: Path, target: Path) -> None:
        clip = session.clip
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.parent.iterdir(), key=lambda one: int(one.name))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        frames = sorted(session.records)
        common = {"folder": clip.folder, "out": str(target), "frames": frames}
        if kind == "report":
            write_whole(target, json.dumps(session.report, indent=1).encode())
        elif kind in FILMS:
            self.guard.call("film", cpu_seconds=3600, clip=clip.path, kind=kind, opacity=OPACITY, **common)
        elif kind == "everything":
            self._everything(session, folder, common)
        else:
            self.guard.call("archive", cpu_seconds=600, kind=kind, extra={}, session="", **common)

    def _everything(self, session: Session, folder: Path, common: dict) -> None:
        """Pack what resumes the work, and with it all else, unless that makes it too large to be uploaded."""
        films = {export.KINDS[kind]: self.file(session, kind) for kind in FILMS}
        needed, text = self._needed(session, folder), json.dumps(saved.to_json(session))
        for kind, extra in (("everything", {**films, **needed}), ("everything", needed), ("palette", needed)):
            self.guard.call("archive", cpu_seconds=600, kind=kind, extra=extra, session=text, **common)
            if Path(common["out"]).stat().st_size <= self.guard.limits.upload_mb * 2**20:
                return

    def _left_out(self, path: str) -> str:
        """What is told of a ZIP of everything that would have been too large to be uploaded."""
        with zipfile.ZipFile(path) as pack:
            if export.KINDS["overlay"] in pack.namelist():
                return ""
        most = self.guard.limits.upload_mb
        if Path(path).stat().st_size <= most * 2**20:
            return f" The films are not in it, so that it can be uploaded ({most} MB); get them one by one."
        return (
            f" That is without the films and still more than the {most} MB that can be uploaded, so that it "
            "cannot be resumed on this server."
        )

    def _needed(self, session: Session, folder: Path) -> dict[str, str]:
        """What else the ZIP of everything needs: the report, the prompts, and the clip to resume with."""
        names = {export.KINDS["report"]: self.file(session, "report")}
        for index, marks in session.marks.items():
            path = folder / f"prompt{index:05d}.png"
            write_whole(path, marks.mask)
            names[f"prompts/{index:05d}.png"] = str(path)
        return {**names, f"source{Path(session.clip.path).suffix}": session.clip.path}
