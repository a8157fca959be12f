"""Small pieces of HTML and text that several panels show: titles, notices, tables, progress, times.

Plain values in, text out.
"""

import base64
import itertools
import re
import time
from collections.abc import Iterable, Sequence
from html import escape

DISMISS = """element.addEventListener("click", (event) => {
  if (event.target.closest("button")) element.querySelector(".stm-notice")?.remove();
});"""  # the script of a place for notices
# The script of a place with links within the page.  An address with a # would load a page with options anew.
FOLLOW = """element.addEventListener("click", (event) => {
  const link = event.target.closest("[data-to]");
  const heading = link && document.getElementById(link.dataset.to);
  if (!heading) return;
  heading.scrollIntoView({ block: "start" });
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
});"""
# frames by number; not a quoted name such as “frame 2”, and not a size
_NAMED = re.compile(
    r"(?<!['“])\bframe( before| after| is)? \d+\b|\bframes( before)? \d+((, | to | and )\d+)*\b"
)
_told = itertools.count()  # makes a repeated sentence a new notice, which is shown and read out again


def press(part: str) -> str:
    """The script that presses a download button, by its id: Gradio makes a link or a button of it."""
    found = ", ".join((f"#{part} a", f"a#{part}", f"button#{part}", f"#{part} button", f"#{part}"))
    return f'() => document.querySelector("{found}")?.click()'


def title(name: str, text: str, number: int | None = None) -> str:
    """The heading of a panel: its name, a few words on what it is for, and the number of a step."""
    step = f"<b>{number}</b>" if number else ""
    words = f"<span>{escape(name)}</span><small>{escape(text)}</small>"
    return f'<h2 class="stm-title" id="{anchor(name)}">{step}{words}</h2>'


def anchor(name: str) -> str:
    """Where a link finds the panel with this title."""
    return "at-" + name.lower().replace(" ", "-")


def faint(text: str) -> str:
    """A line of small print; the text is ours, so it may hold markup."""
    return f'<p class="stm-faint">{text}</p>'


def names(found: Sequence[str]) -> str:
    """The names of the first files that will be made."""
    return faint(f"Files: {', '.join(f'<code>{escape(name)}</code>' for name in found)} …")


def notice(text: str = "", kind: str = "error") -> str:
    """The line that says what went wrong and what to try ("error"), or what is new ("info")."""
    if not text:
        return ""
    role = "alert" if kind == "error" else "status"
    button = '<button type="button" aria-label="Dismiss" title="Dismiss">×</button>'
    return (
        f'<p class="stm-notice stm-{kind}" role="{role}" data-told="{next(_told)}">'
        f"<span>{escape(text)}</span>{button}</p>"
    )


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def from_one(text: str) -> str:
    """The text of an error or warning, which counts frames from 0, as the page tells it: from 1."""
    return _NAMED.sub(lambda found: re.sub(r"\d+", lambda one: str(number(int(one[0]))), found[0]), text)


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    """Rows of name, number, and an explanation in small print."""
    body = "".join(f'<tr><th scope="row">{a}</th><td>{b}</td><td>{c}</td></tr>' for a, b, c in rows)
    return f'<table class="stm-table">{body}</table>'


def bar(done: int, total: int, words: str, link: str = "") -> str:
    """A progress bar with words below it, and a link to the panel with this title."""
    share = 100 * done / max(total, 1)
    go = f' <button type="button" data-to="{anchor(link)}">See the {link.lower()} ↓</button>' if link else ""
    return (
        f'<div class="stm-progress" role="progressbar" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{done}" aria-label="Tracking"><i style="width:{share:.1f}%"></i></div>'
        f'<p class="stm-count">{escape(words)}{go}</p>'
    )


def ready(seconds: float) -> str:
    """What is shown in the place of the progress before a run."""
    return f'<p class="stm-count">A run takes about {clock(seconds)}.</p>'


def unready(words: str, link: str, where: str) -> str:
    """Why nothing can be run yet, with a link to the panel with this title."""
    go = f'<button type="button" data-to="{anchor(link)}">{escape(where)} ↑</button>'
    return f'<p class="stm-count">{escape(words)} {go}</p>'


def progress(done: int, total: int, began: float, more: int = 0) -> str:
    """The bar of a run: frames a second, and the time left.

    began: time.perf_counter() at its start.
    more: frames of other runs that come after it.
    """
    if not done:
        return bar(0, total, "Starting…")
    speed = done / max(time.perf_counter() - began, 1e-6)
    left = clock((total - done + more) / speed)
    return bar(done, total, f"Frame {done} of {total} · {speed:.1f} frames/s · {left} left")


def clock(seconds: float) -> str:
    """Seconds in words: 4 s, 1 min 20 s."""
    seconds = max(round(seconds), 1)
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60} s"


def size(number: float) -> str:
    """Bytes in words: 812 B, 3.1 MB, 1.24 GB."""
    for unit, scale in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if abs(number) >= scale:
            value = number / scale
            return f"{value:.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{number:.0f} B"


def sizes(values: Sequence[float]) -> list[str]:
    """Bytes in words, all in one unit so that people can compare them: MB, or kB when all are small."""
    name, unit = ("MB", 2**20) if max(values) >= 2**19 else ("kB", 2**10)
    return [
        f"{value / unit:,.{0 if value >= 100 * unit else 1 if value >= 10 * unit else 2}f} {name}"
        for value in values
    ]


def number(index: int) -> int:
    """A frame's number as it stands on the page: there frames count from 1; in files and code from 0."""
    return index + 1


def numbers(indices: Iterable[int]) -> str:
    """Frames by their numbers on the page, with commas; of more than nine, the first four and last three."""
    shown = [str(number(index)) for index in indices]
    return ", ".join(shown) if len(shown) <= 9 else f"{', '.join(shown[:4])} … {', '.join(shown[-3:])}"


def cards(examples: Iterable[tuple[str, dict, bytes]], width: int) -> str:
    """Buttons with picture and title, one for each example (name, what is known, JPEG); "" for none."""
    found = "".join(
        f'<button type="button" data-example="{escape(name)}" title="{escape(known.get("sentence", ""))}">'
        f'<img src="{data_url(picture, "jpeg")}" alt="" width="{width}">'
        f"<span>{escape(known.get('title', name))}</span></button>"
        for name, known, picture in examples
    )
    return f'<div class="stm-cards" aria-label="Example clips">{found}</div>' if found else ""


def data_url(data: bytes, kind: str) -> str:
    """Picture bytes as an address that needs no further request."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def spans(frames: Sequence[int], gap: int = 2) -> list[tuple[int, int]]:
    """Runs of neighbouring frames, both ends included; frames up to `gap` apart belong together."""
    found: list[list[int]] = []
    for index in frames:
        if found and index - found[-1][1] <= gap:
            found[-1][1] = index
        else:
            found.append([index, index])
    return [(a, b) for a, b in found]


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """A set of frames as a list of [first, last + 1]."""
    return [[a, b + 1] for a, b in spans(sorted(indices), gap=1)]
