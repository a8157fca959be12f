"""Other programs: a run in their formats, masks that come from there, and the run as a command."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import html
from demo.panels.base import Change, Panel, Props, View, Wires, answers
from demo.work import brought
from demo.work.taking import ordered, take
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import OptionError, PromptError
from stm_core.export.order import Options, Order
from stm_core.export.registry import FORMATS, formats_of
from stm_core.media.files import alone
from stm_core.runs.recipe import as_command, as_python, needs_masks

FIRST = "coco"  # the format that is chosen at first
RECIPE = ("as_command", "as_python", "recipe_about")
FILES = (
    "COCO JSON, CVAT for images 1.1, mask pictures or a ZIP of them, or a film per object, black and "
    "white or with alpha"
)


class SharePanel(Panel):
    """Exports from the table of formats, and the ways in."""

    name, seen, step = "share", False, False  # there is no clip yet
    live = ("sharing", "taking", *RECIPE)

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout; the card is a part, seen once a clip is open."""
        gr.HTML(html.title("Other programs", "export masks to them, or import masks"))
        with gr.Group(visible=False, elem_classes="stm-plain") as taking:
            which = gr.Dropdown(
                [(f"{one.name}: {one.sentence}", name) for name, one in FORMATS.items()],
                value=FIRST,
                label="Format",
            )
            template = gr.Textbox(
                "",
                label="File names",
                placeholder="the usual names, or for example {clip}_{object}_{frame}",
                max_length=120,
                elem_id="template",
            )
            names = gr.HTML("", elem_id="names", min_height=30, js_on_load=html.DISMISS)
            self.button = gr.Button("Export", elem_id="export")
            told = gr.HTML("", js_on_load=html.DISMISS)
            file = gr.DownloadButton("Download", elem_id="exported", elem_classes="stm-hidden")
        with gr.Accordion("The same run in a terminal or notebook", open=False, elem_id="recipe"):
            command = gr.Textbox(
                label="Command", buttons=["copy"], interactive=False, lines=2, elem_id="as-command"
            )
            python = gr.Textbox(label="Python", buttons=["copy"], interactive=False, lines=8)
            about = gr.HTML("")
        with gr.Accordion("Bring masks for many frames", open=False, elem_id="bringing"):
            bring = gr.File(label=FILES, file_count="multiple", height=84, elem_id="bring")
        return {
            "sharing": self.card,
            "taking": taking,
            "format": which,
            "template": template,
            "names": names,
            "export_told": told,
            "exported": file,
            "as_command": command,
            "as_python": python,
            "recipe_about": about,
            "bring": bring,
        }

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        chosen = ["format", "template"]
        changed = (self.parts[name].change for name in chosen)
        for event in ("opened", "objects", "ran", *changed):
            wires.on(event, self.preview, chosen, trigger_mode="always_last")
        made = wires.on(self.button.click, self.make, chosen, lane="media", trigger_mode="once")
        made.success(None, None, None, js=html.press("exported"))
        wires.on(self.parts["bring"].upload, self.bring, ["bring"], lane="own", leads_to="marked objects")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change < Change.MARKS:
            return {}
        work = visitor.work
        tracked = work is not None and work.tracked
        view: dict = {"sharing": Props(visible=work is not None), "taking": Props(visible=tracked)}
        if change >= Change.RESULTS:
            view |= recipe(work)
        if change == Change.CLIP:
            view |= {"bring": None, "names": "", "export_told": "", "exported": None}
        return view

    @answers
    def preview(self, visitor: Visitor, which: str, template: str) -> View:
        """What the first files will be called, or why they cannot be called so."""
        work = visitor.work
        if work is None or not work.tracked:
            return View(names="")
        try:
            names = _order(work, which, template).preview()
        except OptionError as error:
            return View(names=html.notice(html.sentence(str(error))))
        return View(names=html.names(names))

    @answers
    def make(self, visitor: Visitor, which: str, template: str) -> Iterator[View]:
        """Make the file and hand it over."""
        yield View(exported=None, export_told="")  # a refusal must not hand over the last one
        with visitor.at_work() as work:
            if not work.tracked or work.running:
                raise PromptError("there are no finished masks yet; track the object first, then export")
            order = _order(work, which, template)
            order.preview()  # refused before anybody waits
            self.host.opener.check_space(visitor.caller)
            yield View(export_told=html.notice(f"Making {order.file_name}…", "info"))
            try:
                path, warnings = self._file(work, order)
            except Exception:
                if visitor.work is work:
                    yield View(export_told="")
                raise
            self.host.quotas.copied(visitor.caller, str(path))
            told = f"{path.name} is ready, {html.size(path.stat().st_size)}. {' '.join(warnings)}"
        yield View(exported=str(path), export_told=html.notice(told.strip(), "info"))

    def _file(self, work: Work, order: Order) -> tuple[Path, list[str]]:
        """The finished file of a run, made once, and what could not be kept in it."""
        said = repr((order.format.name, order.options, sorted(order.result.objects.items())))
        folder = Path(work.run.folder) / "files" / hashlib.sha256(said.encode()).hexdigest()[:12]
        target, warnings = folder / order.file_name, []
        with alone(target):
            if not target.exists():
                for answer, _ in take(self.host.guard, order, work.clip.path, target):
                    warnings = answer.get("warnings", [])
        return target, [html.sentence(str(one)) for one in warnings]

    @answers
    def bring(self, visitor: Visitor, paths: list[str] | None) -> View:
        """Take masks of another program, as marks or as a result.  After a refusal all stays as it was."""
        if not paths:
            return View()
        with visitor.at_work() as work:
            _check_free(work)
            self.host.opener.check_space(visitor.caller)
            masks = brought.read(self.host.guard, work.clip, self.host.limits, [str(path) for path in paths])
            with visitor.changing(work):
                _check_free(work)
                told = brought.take(work, masks, self.host.limits)
        return View(Change.RESULTS, notice=html.notice(told, "info"), bring=None)


def _check_free(work: Work) -> None:
    if work.running or work.unread:
        raise PromptError(
            "this clip is busy; wait until the run or the opening has ended, then bring the masks"
        )


def _order(work: Work, which: str, template: str) -> Order:
    """The order for the run that is shown.  OptionError when the format or the names make no sense."""
    [chosen] = formats_of([str(which)])
    objects = {one.id: one.name for one in work.objects}
    options = Options(template=(template or "").strip())
    name = Path(work.clip.name).stem
    return ordered(Path(work.run.folder), list(work.run.records), objects, name, chosen, options)


def recipe(work: Work | None) -> dict:
    """The texts of the run that is shown; empty where it was not computed here."""
    job = work.run.job if work is not None and work.tracked else None
    if job is None:
        about = "Once a run has ended, this shows how to do it again with Python or in a terminal."
        if work is not None and work.tracked:
            about = "No command makes these masks: they came from a file, or were changed after the run."
        return dict(zip(RECIPE, ("", "", html.faint(about)), strict=True))
    clip, total = work.clip, work.clip.info["frames"]
    # a run that went on after a stop has its own mask of that frame among the prompts, which nobody marked
    marked = tuple(prompt for prompt in job.plan.prompts if prompt.frame in job.plan.known)
    plan = replace(job.plan, prompts=marked)
    path = f"assets/examples/{clip.example}.mp4" if clip.example else clip.name
    what = "the whole clip" if plan.whole(total) else "the part that is open"
    told = [f"Both track {what} from the same marks."]
    if work.run.continues:
        told.append("The page continued from a correction; these track all frames anew, so masks may differ.")
    if needs_masks(plan):
        told.append(
            "They read the marks from <code>prompts/</code>, which is in the ZIP of the full session."
        )
    texts = as_command(plan, path, total), as_python(plan, path, total), html.faint(" ".join(told))
    return dict(zip(RECIPE, texts, strict=True))
