"""A visitor: what a person does in one tab of a headless Chromium, and a network that can be held."""

import shutil
import threading
from pathlib import Path

from conftest import ColourNetwork

PATIENCE = 60_000  # milliseconds; a busy machine
CLIP = {"frames": 30, "height": 128, "width": 192}  # what the visitors of the browser tests bring
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture
    "--use-fake-ui-for-media-stream",
]


class GatedNetwork(ColourNetwork):
    """Stops before a frame until the test opens the gate: a run that can be caught in the middle."""

    def __init__(self):
        super().__init__()
        self.gate, self.left = threading.Event(), 10**9
        self.gate.set()

    def close_after(self, frames: int) -> None:
        self.left = frames
        self.gate.clear()

    def encode_query(self, frame):
        self.left -= 1
        if self.left < 0:
            self.gate.wait(60)
        return super().encode_query(frame)


class Visitor:
    """One tab, and what a person does in it."""

    def __init__(self, browser, site, size: dict, theme: str = "light", touch: bool = False):
        self.context = browser.new_context(
            viewport=size, accept_downloads=True, has_touch=touch, is_mobile=touch
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(f"{site.url}/?__theme={theme}")
        self.page.wait_for_selector("#stage .stm-welcome")

    def wait(self, script: str, value=None, patience: float = PATIENCE) -> None:
        self.page.wait_for_function(script, arg=value, timeout=patience)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def wait_text(self, selector: str, words: str) -> None:
        self.wait("([s, w]) => document.querySelector(s)?.innerText.includes(w)", [selector, words])

    def shown(self, frame: int, masked: bool, patience: float = PATIENCE) -> None:
        self.wait(
            "([n, m]) => { const d = document.querySelector('.stm-canvas').dataset; "
            "return d.shown === n && d.masked === m; }",
            [str(frame), "1" if masked else ""],
            patience,
        )

    def upload(self, path: Path) -> None:
        self.page.set_input_files("#upload input[type=file]", str(path))

    def open(self, path: Path) -> None:
        self.upload(path)
        self.shown(0, False)
        self.wait(
            "(name) => { const report = document.querySelector('#report'); "
            "return report.querySelector('[data-counted]') && report.innerText.includes(name); }",
            path.name,
        )

    def open_and_mark_two(self, path: Path) -> None:
        """The clip's two squares are marked, as two objects."""
        self.open(path)
        self.click(8, 8)
        self.shown(0, True)
        self.page.click("[data-do=add-object]")
        self.wait("() => document.querySelectorAll('.stm-chips button').length === 2")
        self.click(24, 24)
        self.idle()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the clip is on the screen."""
        canvas = self.page.locator(".stm-canvas")
        canvas.scroll_into_view_if_needed()
        box, (width, height) = canvas.bounding_box(), canvas.evaluate("c => [c.width, c.height]")
        zoom = min(box["width"] / width, box["height"] / height)  # the picture is fitted into the canvas
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return middle[0] + (x + 0.5 - width / 2) * zoom, middle[1] + (y + 0.5 - height / 2) * zoom

    def click(self, x: int, y: int, button: str = "left") -> None:
        self.page.mouse.click(*self.at(x, y), button=button)

    def tab_to(self, selector: str) -> None:
        """Press Tab until the focus is there."""
        for _ in range(120):
            if self.page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no way to {selector} by Tab")

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def tap(self, x: int, y: int) -> None:
        self.page.touchscreen.tap(*self.at(x, y))

    def paint(self, *points: tuple[int, int]) -> None:
        self.page.click("[data-mode=brush]")
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()

    def go(self, frame: int) -> None:
        self.page.evaluate("n => document.dispatchEvent(new CustomEvent('stm-go', { detail: n }))", frame)

    def idle(self) -> None:
        self.wait("() => document.querySelector('.stm-busy').hidden")

    def track(self) -> None:
        self.wait("() => !document.querySelector('#track').disabled")
        self.page.click("#track")
        self.wait_text("#progress", "Done:")

    def color(self, x: int, y: int) -> list[int]:
        """The colour that the stage shows at a pixel of the clip."""
        return self.page.evaluate(
            "([x, y]) => [...document.querySelector('.stm-canvas').getContext('2d').getImageData(x, y, 1, "
            "1).data]",
            [x, y],
        )

    def download(self, kind: str, folder: Path) -> Path:
        with self.page.expect_download() as found:
            self.page.click(f"#get-{kind}")
        target = folder / found.value.suggested_filename
        found.value.save_as(target)
        return target

    def close(self) -> None:
        self.context.close()
