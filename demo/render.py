"""What the page shows, made from a session: the stage's state and the small texts.

Plain values in, plain values out.
"""

import base64
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from demo import charts
from demo.charts import Point, size
from demo.clip import Clip
from demo.limits import Limits
from demo.session import Session

WELCOME = "Upload a clip or pick an example, click the object, press Track."
PRESETS = {  # name -> (what the menu says, what it is good and bad for)
    "bounded": (
        "bounded: every n-th, within a budget",
        "First, previous and every n-th frame within the budget; the least used goes first. Good for any "
        "length.",
    ),
    "every-5": (
        "every-5: STM as published, no bound",
        "Every n-th frame is kept, as published. Memory and time per frame grow with the clip.",
    ),
    "first+previous": (
        "first+previous: two frames",
        "Constant and cheap; loses what turns, or is hidden for long.",
    ),
    "first": ("first: the marked frame only", "Fails when the object changes its look."),
    "previous": ("previous: the last frame only", "Drifts, and cannot recover after an occlusion."),
}
SIZES = {"240 – fastest": 240, "360": 360, "480 – finest": 480, "as it is": 0}


def stage(session: Session, *, live: bytes | None = None, at: int | None = None) -> dict:
    """The state that the stage in the browser draws from."""
    clip = session.clip
    if clip is None:
        return {"clip": None, "welcome": WELCOME, "answer": session.answer}
    marks = session.marks.get(session.frame)
    colors = {subject.id: subject.color for subject in session.subjects}
    return {
        "clip": f"{Path(session.folder).name}/{session.clips_opened}/{clip.start}",
        "folder": Path(clip.folder).as_posix(),
        "height": clip.size[0],
        "width": clip.size[1],
        "start": clip.start,
        "stop": clip.stop,
        "fps": clip.info.get("fps") or 25,
        "times": [round(t, 3) for t in clip.times] if live is None else None,
        "frame": session.frame,
        "jump": session.jump,
        "answer": session.answer,
        "revision": session.revision,
        "sharp": [[i, i + 1] for i in sorted(session.sharp)],
        "proxies": [[clip.start, clip.start + session.proxies]],
        "masked": ranges(session.records),
        "marks": data_url(marks.mask, "png") if marks and marks.mask else None,
        "dots": [[x, y, label, colors.get(n, "#888")] for x, y, label, n in marks.dots] if marks else [],
        "objects": [{"id": s.id, "name": s.name, "color": s.color} for s in session.subjects],
        "selected": session.selected,
        "prompted": sorted(session.marks),
        "pinned": list(session.pinned),
        "doubtful": sorted({i for s in session.subjects for i in charts.doubts(session.records, s.id)})
        if live is None
        else [],
        "running": session.running,
        "live": data_url(live, "jpeg") if live else None,
        "at": at,
        "hint": hint(session),
    }


def hint(session: Session) -> str:
    """The next thing to do, in a few words."""
    if session.running:
        return "Tracking… Stop keeps what is done."
    if not session.marks:
        return "Click the object on this frame."
    if session.records and session.fixes():
        frames = ", ".join(map(str, session.fixes()))
        return f"Frame {frames} corrected: choose a direction and press Continue."
    if session.records:
        return "Wrong somewhere? Go there, click or paint it right, then Continue."
    return "Add clicks until the mask is right, then press Track."


def data_url(data: bytes, kind: str) -> str:
    """Picture bytes as an address that needs no further request."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def ranges(indices) -> list[list[int]]:
    """[[from, to), ...] of a set of frames."""
    return [[a, b + 1] for a, b in charts.spans(sorted(indices), gap=1)]


def clip_report(clip: Clip | None, limits: Limits, note: str = "") -> str:
    """The clip in one line of facts and one line about what will be processed; before an upload, the
    limits.
    """
    if clip is None:
        return (
            f'<p class="stm-faint">MP4, MOV, WebM, MKV, AVI, GIF, WebP or a ZIP of frames, up to '
            f'{limits.upload_mb} MB. '
            f"The first {limits.max_frames} frames or {limits.max_seconds:g} s are tracked; of a longer clip "
            f"you choose "
            f"the part. Files are deleted {limits.lifetime_minutes} minutes after your last visit; no run "
            f"history is "
            "kept in your browser.</p>"
        )
    info = clip.info
    height, width = clip.size
    facts = [
        escape(clip.name),
        f"{width}×{height}",
        frames_text(clip),
        f"{info.get('fps') or 0:.4g} frames/s",
        f"{info.get('seconds') or 0:.2f} s",
        str(info.get("codec") or "").upper(),
        f"rotated by {info['rotation']}°, shown upright" if info.get("rotation") else "",
        "variable frame rate, times kept" if info.get("variable_rate") else "",
        "HDR, shown without tone mapping" if info.get("hdr") else "",
        f"audio {info['audio']} kept" if info.get("audio") else "no audio",
    ]
    state = note or ("Every frame was decoded and counted." if clip.checked else "Counting the frames…")
    part = (
        f"Tracked: frames {clip.start} to {clip.stop - 1}, {clip.seconds(clip.start):.2f} s to "
        f"{clip.seconds(clip.stop - 1):.2f} s."
    )
    warnings = "".join(f'<p class="stm-warn">{escape(text)}</p>' for text in clip.warnings)
    return (
        f'<p class="stm-facts">{"".join(f"<span>{fact}</span>" for fact in facts if fact)}</p>'
        f'<p class="stm-faint">{part} {escape(state)}</p>{warnings}'
    )


def frames_text(clip: Clip) -> str:
    """Number of frames, with "about" while only the file's header says so."""
    exact = clip.checked or clip.info.get("frames_exact")
    return f"{'' if exact else 'about '}{clip.info.get('frames') or '?'} frames"


def notice(text: str = "", kind: str = "error") -> str:
    """The line that says what went wrong and what to try; empty when all is well."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="stm-notice stm-{kind}" role="{role}">{escape(text)}</p>' if text else ""


def prediction(
    found, rate: float, frames: int, budget: int, preset: str, device: str, seen: tuple[int, int]
) -> str:
    """What a run will cost, before it runs.

    found: stm_core Prediction; rate: seconds a frame; seen: (H, W).
    """
    total = rate * frames
    rows = [
        (
            "Time",
            f"about {clock(total)}",
            f"{frames} frames at {1 / rate:.0f} a second, on this {device.upper()} at {seen[1]}×{seen[0]}",
        ),
        (
            "Bank at most",
            size(found.bank_bytes),
            f"{found.frames_held} frames × {size(found.frame_bytes)} stored"
            + (f"; budget {size(budget)}" if preset == "bounded" else ""),
        ),
        (
            "Read at most",
            size(found.read_peak_bytes),
            "working memory of one look into the bank, freed at once",
        ),
        (
            "Unbounded STM",
            size(found.unbounded_bytes),
            "the same network keeping every n-th frame of this clip",
        ),
    ]
    return f'<p class="stm-faint">{PRESETS[preset][1]}</p>{_table(rows)}'


def progress(done: int, total: int, began: float, queue: str = "", finished: str = "") -> str:
    """A bar, frames a second, and the time left.  began: time.perf_counter() of the start."""
    spent = max(time.perf_counter() - began, 1e-6)
    speed = done / spent
    left = (total - done) / speed if done else 0.0
    words = (
        finished
        or queue
        or (f"frame {done} of {total} · {speed:.1f} frames/s · {clock(left)} left" if done else "starting…")
    )
    share = 100 * done / max(total, 1)
    return (
        f'<div class="stm-progress" role="progressbar" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{done}" '
        f'aria-label="Tracking"><i style="width:{share:.1f}%"></i></div><p '
        f'class="stm-count">{escape(words)}</p>'
    )


def readout(
    points: Sequence[Point],
    total: int,
    held: Sequence[int],
    pinned: Sequence[int],
    frame_bytes: int,
    budget: int | None,
    unbounded_end: int,
    device: str,
) -> str:
    """The live memory readout: the chart, and below it the same in words and numbers.

    No points: before a run.
    """
    chart = charts.memory_chart(points, total, unbounded_end, budget)
    last = points[-1] if points else None
    used = (
        f"{last.bank / budget:.0%} of the {size(budget)} budget"
        if last and budget
        else "no budget in this preset"
    )
    pins = f"; pinned: {_list(pinned)}" if pinned else ""
    grown = last.process - points[0].process if last else 0
    rows = [
        (
            "bank",
            "Bank",
            last and last.bank,
            f"{len(held)} frame{'s' * (len(held) != 1)} held of {last.frames} seen; {used}"
            if last
            else "keys and values of the frames held",
        ),
        (
            "frame",
            "One stored frame",
            frame_bytes,
            f"held: {_list(held)}{pins}" if last else "positions × (key + objects × value) × bytes",
        ),
        (
            "unbounded",
            "Unbounded STM",
            last.unbounded if last else unbounded_end,
            "keeping every n-th frame, " + ("by now" if last else "at the end of this clip"),
        ),
        ("read", "Read peak", last and last.read_peak, "working memory of one look into the bank"),
        (
            "process",
            "GPU memory" if device == "cuda" else "This process",
            last and last.process,
            f"{'+' if grown >= 0 else '−'}{size(abs(grown))} since the start"
            if last
            else "drawn as growth since the start",
        ),
    ]
    legend = "".join(
        f'<tr><th scope="row"><i class="stm-key '
        f'stm-key-{key}"></i>{name}</th><td>{size(value) if value else "–"}</td>'
        f"<td>{words}</td></tr>"
        for key, name, value, words in rows
    )
    return f'<figure class="stm-readout">{chart}<table>{legend}</table></figure>'


def _list(frames: Sequence[int]) -> str:
    shown = [str(n) for n in frames]
    return ", ".join(shown) if len(shown) <= 9 else f"{', '.join(shown[:4])} … {', '.join(shown[-3:])}"


def _table(rows) -> str:
    body = "".join(f'<tr><th scope="row">{a}</th><td>{b}</td><td>{c}</td></tr>' for a, b, c in rows)
    return f'<table class="stm-table">{body}</table>'


def clock(seconds: float) -> str:
    """Seconds in words: 4 s, 1 min 20 s."""
    seconds = max(round(seconds), 0)
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60} s"
