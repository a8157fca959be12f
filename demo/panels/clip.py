"""The clip: upload, webcam or an example; its report, and which part of a long one is worked on."""

import time
from collections.abc import Iterator
from threading import Lock
from typing import Any

import gradio as gr

from demo.draw import html
from demo.engine.marking import real
from demo.gradio_fixes import webcam_input
from demo.panels.base import Change, Host, Panel, Props, View, Wires, answers, script
from demo.work import examples
from demo.work.opened import Clip
from demo.work.pictures import picture
from demo.work.reported import clip_report
from demo.work.saved import restore
from demo.work.visitor import Visitor, wait_while
from demo.work.work import Work
from stm_core.errors import PromptError, StmError, VideoError

CARD_WIDTH = 200  # pixels of an example's picture
TELL_EVERY = 0.4  # seconds between two views while frames are counted
FORGOTTEN = "Your earlier visit is no longer on the server: it was restarted, or you were away too long."


class ClipPanel(Panel):
    """Opens clips."""

    name, wide, live = "clip", True, ("upload",)

    def __init__(self, host: Host):
        super().__init__(host)
        self.found: dict[str, tuple[dict, bytes]] = {}  # examples that could be read
        self.reading = Lock()

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Clip", "upload, record, or pick an example", number))
        with gr.Tabs(elem_classes="stm-tabs"):
            with gr.Tab("Upload"):
                upload = gr.File(
                    label="A video, a ZIP of pictures, or a full session (ZIP) to reopen",
                    height=84,
                    elem_id="upload",
                )
            with gr.Tab("Webcam"):
                self.webcam = webcam_input(
                    label="Record a few seconds", height=240, elem_id="webcam", buttons=[]
                )
        self._read_examples()
        gallery = gr.HTML(js_on_load=script("clip.js"), **self._cards())
        report = gr.HTML(clip_report(None, self.host.limits), elem_id="report")
        part = gr.Slider(
            0,
            1,
            value=0,
            step=0.1,
            visible=False,
            elem_id="part",
            label="This clip is longer than the limit here. Start at second",
            info="Drag or type. Only this part is tracked.",
        )
        return {"upload": upload, "gallery": gallery, "report": report, "part": part}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        how = {"lane": "media", "leads_to": "opened"}
        wires.on("arrived", self.come_back, leads_to="opened")
        wires.on(self.parts["upload"].upload, self.open_clip, ["upload"], first=True, **how)
        # not one of the event's outputs, which Gradio makes anew: it would lose what is fixed in it
        wires.on(self.webcam.stop_recording, self.open_clip, [self.webcam], first=True, **how)
        wires.on(self.parts["part"].change, self.choose_part, ["part"], trigger_mode="always_last", **how)
        wires.on(
            self.parts["gallery"].pick,
            self.pick_example,
            sent="name",
            first=True,
            lane="media",
            leads_to="picked",
        )
        if self._missing():
            wires.on("arrived", self.show_examples, lane="media")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change < Change.CLIP:
            return {}
        clip = visitor.work and visitor.work.clip
        part = _part_slider(clip) if clip else Props(visible=False)
        return {"report": clip_report(clip, self.host.limits), "part": part, "upload": None}

    # events -----------------------------------------------------------------------------------------------

    @answers
    def open_clip(
        self, visitor: Visitor, path: str, name: str = "", start: int = 0, example: str = ""
    ) -> Iterator[View]:
        """Show the first frame and the report at once, then count the frames and prepare small pictures for
        scrubbing.
        """
        yield from self._open(visitor, path, name, start, example)

    @answers
    def choose_part(self, visitor: Visitor, seconds: float) -> Iterator[View]:
        """Work on another part of a long clip."""
        clip, second = visitor.need_work().clip, real(seconds, "the part")
        if second == clip.second:  # the slider only says where we are
            yield View()
            return
        # the slider may show a later choice by the time of the answer: it stays as it is
        shown = {"part": Props(visible=True)}
        yield from self._open(visitor, clip.path, clip.name, int(second * clip.fps), shown=shown)

    @answers
    def pick_example(self, visitor: Visitor, name: str) -> Iterator[View]:
        """Open a bundled clip."""
        if name not in examples.names(self.host.examples):
            raise PromptError(f"there is no example called {str(name)[:40]!r}; choose one that is shown")
        yield from self._open(visitor, str(self.host.examples / f"{name}.mp4"), f"{name}.mp4", 0, name)

    @answers
    def come_back(self, visitor: Visitor) -> Iterator[View]:
        """The page was loaded again: end the run that the old page watched, show the work as it is, and
        finish opening the clip.
        """
        work, awaited = visitor.reloaded, visitor.awaited
        visitor.reloaded, visitor.awaited = None, 0
        if work is not None or awaited:

            def busy() -> bool:
                return bool(visitor.edits) or any(one <= awaited for one in [*visitor.coming.values()])

            wait_while(busy, self.host.limits.stall_seconds)
            if visitor.opened <= awaited:
                work = visitor.work
        if work is None or work is not visitor.work:  # a first visit, whose clip may have come before this
            forgotten, visitor.forgotten = visitor.forgotten and work is visitor.work, False
            if forgotten:
                yield View(notice=html.notice(FORGOTTEN, "info"), **visitor.settings)
            else:
                yield View(**visitor.settings)
            return
        visitor.leave()
        late = time.monotonic() + self.host.limits.stall_seconds
        while work.running and time.monotonic() < late:  # the run ends after the frame that it is at
            time.sleep(0.05)
        work.jump += 1
        if work.run is not None:
            work.run.filmed = False
        told = "The page was loaded again. Your work is still here."
        if work.rest and work.marks:
            told += " Tracking was stopped; all masks so far are kept. Press Resume to go on."
        yield View(Change.CLIP, notice=html.notice(told, "info"), **visitor.settings)
        yield from self._go_on(visitor, work)

    @answers
    def show_examples(self, visitor: Visitor) -> View:
        """Read and show the examples that could not be read when the page was made, on a busy machine."""
        if self._missing() and self.reading.acquire(blocking=False):
            try:
                self._read_examples()
            finally:
                self.reading.release()
        return View(gallery=Props(**self._cards()))

    def _missing(self) -> list[str]:
        return [name for name in examples.names(self.host.examples) if name not in self.found]

    def _read_examples(self) -> None:
        host = self.host
        self.found |= examples.shown(host.examples, self._missing(), host.guard, host.visitors, CARD_WIDTH)

    def _cards(self) -> dict[str, Any]:
        cards = html.cards(((name, *self.found[name]) for name in sorted(self.found)), CARD_WIDTH)
        return {"value": cards, "visible": bool(cards)}

    # opening ----------------------------------------------------------------------------------------------

    def _open(
        self,
        visitor: Visitor,
        path: str,
        name: str,
        start: int,
        example: str = "",
        shown: dict[str, Any] | None = None,
    ) -> Iterator[View]:
        if not path:
            raise PromptError("no file arrived; choose a video, or pick an example")
        clip, saved = self.host.opener.part(visitor, path, name, start, example)
        ended = html.notice(_ended(visitor.work, path), "info")
        work = Work.begin(clip)
        work.unread = saved
        visitor.take(work)
        yield View(Change.CLIP, notice=ended, **(shown or {}))
        yield from self._go_on(visitor, work)

    def _go_on(self, visitor: Visitor, work: Work) -> Iterator[View]:
        """After the first frame was shown: count all frames, restore the work that came with the clip.  What
        was done already is not done again.
        """
        try:
            if visitor.work is work and not work.clip.checked:
                yield from self._count(visitor, work)
        except StmError:
            if visitor.work is not work:
                return
            yield self._unreadable(visitor, work)
            raise
        if visitor.work is work:  # always: the page's first view may be older than the end of the count
            yield View(Change.STAGE, report=clip_report(work.clip, self.host.limits))
        if visitor.work is work and work.unread:
            try:
                view = self._take_up(visitor, work)
            finally:
                work.unread = None  # only now may it be marked
            yield view

    def _count(self, visitor: Visitor, work: Work) -> Iterator[View]:
        clip, told = work.clip, time.monotonic()
        for found, _ in self.host.guard.stream(
            "check",
            cpu_seconds=4 * self.host.limits.decode_seconds,
            path=clip.path,
            folder=clip.folder,
            start=clip.start,
            stop=clip.stop,
            side=self.host.limits.preview_side,
        ):
            if visitor.work is not work:
                return
            work.proxies = found.get("done", work.proxies)
            if "frames" in found:
                work.proxies = found["frames"]
                work.clip = clip.checked_by(found)
                work.go(work.frame)
                break
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                yield View(Change.STAGE)

    def _unreadable(self, visitor: Visitor, work: Work) -> View:
        """Show what remains of a clip that cannot be read to its end: another part of it may be readable."""
        if work.clip.start:
            return View(report=clip_report(work.clip, self.host.limits, "This part cannot be read."))
        visitor.take(None)
        return View(Change.CLIP)

    def _take_up(self, visitor: Visitor, work: Work) -> View:
        """Restore the saved work that came with the clip: marks, masks, figures."""
        height, width = work.clip.size
        kept = self.host.guard.call("adopt_masks", folder=work.clip.folder, height=height, width=width)
        try:
            restore(work, work.unread, kept, self.host.limits)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise VideoError("the saved session in this ZIP is damaged; only its clip was opened") from error
        work.jump += 1
        picture(self.host.guard, visitor, work.frame)
        masks = len(work.run.records) if work.run else 0
        marked = f"{len(work.marks)} marked frame{'s' * (len(work.marks) != 1)}"
        told = f"Your session is open again: {masks} mask{'s' * (masks != 1)}, {marked}."
        return View(Change.CLIP, notice=html.notice(told, "info"))


def _ended(work: Work | None, path: str) -> str:
    """The sentence for what is lost when another clip, or another part, replaces this one; "" for nothing."""
    if work is None:
        return ""
    if work.busy:
        return f"Tracking of {work.clip.name} was stopped, because you opened another clip."
    if work.clip.path == str(path) and work.marks:
        return "This is another part of the clip. The marks and masks of the part before are gone."
    return ""


def _part_slider(clip: Clip) -> Props:
    too_long = clip.info["frames"] > clip.frames
    last = round((clip.info.get("seconds") or 0) - clip.frames / clip.fps, 1)
    return Props(visible=too_long, maximum=max(last, clip.start / clip.fps, 0.1), value=clip.second)
