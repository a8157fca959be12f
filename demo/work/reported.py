"""What is told of the clip that is open: its facts, and which frames will be tracked."""

from html import escape

from demo.draw import html
from demo.limits import Limits
from demo.work.opened import Clip


def clip_report(clip: Clip | None, limits: Limits, note: str = "") -> str:
    """HTML: facts of the clip in one line, and what will be processed; without a clip, the limits."""
    if clip is None:
        return html.faint(
            "MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF, WebP or a ZIP of pictures, up to "
            f"{limits.upload_mb} MB. Up to {limits.max_frames} frames or {limits.max_seconds:g} s are "
            "tracked; for a longer clip, choose which part. Your files are deleted "
            f"{limits.lifetime_minutes} minutes after your last visit."
        )
    info = clip.info
    height, width = clip.size
    facts = [  # not to be trusted: from a visitor, or from a decoder that read a visitor's bytes
        clip.name,
        f"{width}×{height}",
        _frames(clip),
        f"{info.get('fps') or 0:.4g} frames/s",
        f"{info.get('seconds') or 0:.2f} s",
        str(info.get("codec") or "").upper(),
        f"rotated by {info['rotation']}°, shown upright" if info.get("rotation") else "",
        "variable frame rate, kept" if info.get("variable_rate") else "",
        "HDR, shown without tone mapping" if info.get("hdr") else "",
        f"audio {info['audio']} kept" if info.get("audio") else "no audio",
    ]
    state = note or (_part(clip) if clip.checked else "Counting the frames…")
    warnings = "".join(f'<p class="stm-warn">{escape(text)}</p>' for text in clip.warnings)
    shown = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    counted = " data-counted" if clip.checked else ""
    return f'<p class="stm-facts">{shown}</p><p class="stm-faint"{counted}>{escape(state)}</p>{warnings}'


def _part(clip: Clip) -> str:
    """The sentence about which frames a run will track."""
    first, last = clip.seconds(clip.start), clip.seconds(clip.stop - 1) + 1 / clip.fps
    if not clip.start and clip.stop >= clip.info["frames"]:
        return f"Will track all {clip.frames} frames ({last:.3g} s)."
    span = f"{html.number(clip.start)} to {html.number(clip.stop - 1)}"
    return f"Will track frames {span} ({first:.1f} s to {last:.1f} s)."


def _frames(clip: Clip) -> str:
    """Number of frames, with "about" while only the file's header says so."""
    exact = clip.checked or clip.info.get("frames_exact")
    count = clip.info.get("frames") or "?"
    return f"{'' if exact else 'about '}{count} frame{'' if count == 1 else 's'}"
