"""The result: the film in the player, and the files to take away."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import html
from demo.engine.runner import OPACITY
from demo.guard import exports
from demo.panels.base import Change, Panel, Props, View, Wires, answers
from demo.work import saved
from demo.work.run import Run
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import PromptError
from stm_core.export.names import safe
from stm_core.media.files import alone, write_whole

FILMS = ("overlay", "alpha", "green")
LABELS = {
    "overlay": "Overlay MP4",
    "palette": "Masks, colour PNG",
    "binary": "Masks, black/white",
    "alpha": "Cut-out, RGBA WebM",
    "green": "Cut-out, green MP4",
    "report": "Report JSON",
    "everything": "Full session (ZIP, reopen later)",
}


class ResultPanel(Panel):
    """Makes the files of a run, each once, behind the guard."""

    name, live, seen = "result", ("results",), False  # there are no masks yet

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout; the card itself is a part, which is seen once there are masks."""
        gr.HTML(html.title("Result", "watch and download", number))
        player = gr.Video(
            label="The clip with its masks",
            interactive=False,
            elem_id="player",
            height=300,
        )
        gr.HTML(
            html.faint(
                "One mask per frame, as large as the frame. File names count from 0: 00000.png is frame 1."
            )
        )
        with gr.Row():
            self.buttons = {
                kind: gr.Button(label, size="sm", min_width=130, elem_id=f"get-{kind}")
                for kind, label in LABELS.items()
            }
        made = gr.HTML("", elem_id="made", min_height=30, js_on_load=html.DISMISS)
        file = gr.DownloadButton("Download", elem_id="file", elem_classes="stm-hidden")
        return {"results": self.card, "player": player, "made": made, "file": file}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        for kind, button in self.buttons.items():
            made = wires.on(button.click, self.make, lane="media", given=(kind,), trigger_mode="once")
            made.success(None, None, None, js=html.press("file"))
        for event in ("opened", "objects", "ran"):
            wires.on(event, self.show_film, lane="media", trigger_mode="always_last")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        view = {"player": None, "made": "", "file": None} if change == Change.CLIP else {}
        if change >= Change.MARKS:
            view["results"] = Props(visible=visitor.work is not None and visitor.work.tracked)
        return view

    @answers
    def show_film(self, visitor: Visitor) -> View:
        """The overlay film of an ended run; no film without masks."""
        work = visitor.work
        if work is None or work.running:
            return View()
        run = work.run
        if run is None or not run.records:
            return View(player=None)
        if run.filmed:
            return View()
        with visitor.at_work():
            film = self.file(work, run, "overlay")
            if work.run is not run:  # an object was deleted meanwhile, and its event brings the film
                return View()
            run.filmed = True
            self.host.quotas.copied(visitor.caller, film)
        return View(player=film)

    @answers
    def make(self, visitor: Visitor, kind: str) -> Iterator[View]:
        """Make one of the files and hand it over."""
        yield View(file=None, made="")  # a refusal must not hand over the last one
        with visitor.at_work() as work:
            if not work.tracked:
                raise PromptError("there are no masks yet; mark an object and press Track first")
            if work.running:
                raise PromptError("tracking is running; wait until it ends or press Stop, then download")
            self.host.opener.check_space(visitor.caller)
            yield View(made=html.notice(f"Making “{LABELS[kind]}”…", "info"))
            try:
                path = self.file(work, work.run, kind)
            except Exception:
                if visitor.work is work:
                    yield View(made="")
                raise
            self.host.quotas.copied(visitor.caller, path)
            told = f"{Path(path).name} is ready, {html.size(Path(path).stat().st_size)}."
            if kind == "everything":
                told += self._left_out(path)
        yield View(file=path, made=html.notice(told, "info"))

    # files ------------------------------------------------------------------------------------------------

    def file(self, work: Work, run: Run, kind: str) -> str:
        """The path of a finished file of a run; made once."""
        name = exports.KINDS[kind]
        if kind == "everything":  # people keep several of these
            name = f"{safe(Path(work.clip.name).stem)}-{name}"
        target = Path(run.folder) / "files" / name
        with alone(target):  # a second event waits here, and takes what the first one made
            if kind == "everything" or not target.exists():  # the former holds the marks, which may change
                self._make(work, run, kind, target)
        return str(target)

    def _make(self, work: Work, run: Run, kind: str, target: Path) -> None:
        guard = self.host.guard
        target.parent.mkdir(parents=True, exist_ok=True)
        common = {"folder": run.folder, "out": str(target), "frames": sorted(run.records)}
        if kind == "report":
            write_whole(target, json.dumps(run.report, indent=1).encode())
        elif kind in FILMS:
            how = {"kind": kind, "opacity": OPACITY, "colours": work.objects.colours}
            guard.call("film", cpu_seconds=3600, clip=work.clip.path, **how, **common)
        elif kind == "everything":
            self._everything(work, run, common)
        else:
            guard.call("archive", cpu_seconds=600, kind=kind, extra={}, session="", **common)

    def _everything(self, work: Work, run: Run, common: dict) -> None:
        """Pack what resumes the work, and all other files, unless the ZIP gets too large to be uploaded."""
        films = {exports.KINDS[kind]: self.file(work, run, kind) for kind in FILMS}
        needed, text = self._needed(work, run), json.dumps(saved.to_json(work))
        for kind, extra in (("everything", {**films, **needed}), ("everything", needed), ("palette", needed)):
            self.host.guard.call("archive", cpu_seconds=600, kind=kind, extra=extra, session=text, **common)
            if Path(common["out"]).stat().st_size <= self.host.limits.upload_mb * 2**20:
                return

    def _needed(self, work: Work, run: Run) -> dict[str, str]:
        """Name in the ZIP -> file, of what the ZIP of everything needs besides masks and films."""
        names = {exports.KINDS["report"]: self.file(work, run, "report")}
        for index, marks in work.marks.items():
            path = Path(run.folder) / "files" / f"prompt{index:05d}.png"
            write_whole(path, marks.mask)
            names[f"prompts/{index:05d}.png"] = str(path)
        return {**names, f"source{Path(work.clip.path).suffix}": work.clip.path}

    def _left_out(self, path: str) -> str:
        """The sentence about what was left out of a ZIP of everything to keep it small; "" for nothing."""
        with zipfile.ZipFile(path) as pack:
            if exports.KINDS["overlay"] in pack.namelist():
                return ""
        most = self.host.limits.upload_mb
        if Path(path).stat().st_size <= most * 2**20:
            return f" It has no videos with masks, so that it can be uploaded again ({most} MB at most)."
        return (
            f" It has no videos with masks and is still larger than the {most} MB that can be uploaded, so "
            "it cannot be reopened on this server."
        )
