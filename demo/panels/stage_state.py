"""What the page shows, made from a session: the stage's state and the small texts.

Plain values in, plain values out.
"""

import base64
import itertools
from html import escape
from pathlib import Path

from demo.draw import charts
from demo.limits import Limits
from demo.work.visitor import Session
from demo.work.work import Clip

_told = itertools.count()  # the same sentence twice is two notices: shown and read out again
WELCOME = "Upload a clip or pick an example, click the object, press Track."


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
        "selected": session.subjects.selected,
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
        word = "Frames" if len(session.fixes()) > 1 else "Frame"
        return f"{word} {frames} corrected: choose a direction and press Continue."
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
            '<p class="stm-faint">MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF, WebP or a ZIP of frames, up to '
            f"{limits.upload_mb} MB. The first {limits.max_frames} frames or {limits.max_seconds:g} s are "
            "tracked; of a longer clip you choose the part. Files are deleted "
            f"{limits.lifetime_minutes} minutes after your last visit; no run history is kept in your "
            "browser.</p>"
        )
    info = clip.info
    height, width = clip.size
    facts = [  # said by a visitor, or by a decoder that read a visitor's bytes
        clip.name,
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
        f'<p class="stm-facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)}</p>'
        f'<p class="stm-faint">{part} {escape(state)}</p>{warnings}'
    )


def frames_text(clip: Clip) -> str:
    """Number of frames, with "about" while only the file's header says so."""
    exact = clip.checked or clip.info.get("frames_exact")
    count = clip.info.get("frames") or "?"
    return f"{'' if exact else 'about '}{count} frame{'' if count == 1 else 's'}"


def notice(text: str = "", kind: str = "error") -> str:
    """The line that says what went wrong and what to try; empty when all is well."""
    if not text:
        return ""
    role = "alert" if kind == "error" else "status"
    button = '<button type="button" aria-label="Dismiss" title="Dismiss">×</button>'
    return (
        f'<p class="stm-notice stm-{kind}" role="{role}" data-told="{next(_told)}">'
        f"<span>{escape(text)}</span>{button}</p>"
    )
