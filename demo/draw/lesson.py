"""The lesson: its Markdown file in, steps out, and their HTML.  The top of the file explains its format."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from stm_core.errors import OptionError
from stm_core.memory.policy import PRESETS

PLACES = {  # what a step can lead to, and the words of the link
    "picture": "the picture",
    "timeline": "the timeline",
    "chart": "the memory chart",
    "look": "Look inside",
    "compare": "Compare",
}
PARTS = ("Question", "Answer", "More")
SETTINGS = ("example", "preset", "track", "frame", "show")


# what a template of Gradio's, which becomes a template literal of a script, would fill in or take away
_TAKEN = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "\\": "&#92;"})


@dataclass(frozen=True)
class Step:
    """One step of the lesson; texts are lists of paragraphs.

    example: name of the clip that it is about.
    preset: what the memory keeps; "" leaves it as it is.
    track: the clip is tracked as well.
    frame: shown at the end, counted from 1 as on the page; 0: none.
    show: names in PLACES that it links to.
    """

    title: str
    example: str
    preset: str = ""
    track: bool = False
    frame: int = 0
    show: tuple[str, ...] = ()
    idea: list[str] = field(default_factory=list)
    question: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)


def parse(text: str, name: str = "learn.md") -> list[Step]:
    """The steps of a lesson.

    name: of the file, for the errors.
    Raises OptionError: which line, what is wrong there, and what belongs there.
    """
    steps, lines = [], text.splitlines()
    heads = [n for n, line in enumerate(lines) if line.startswith("## ")]
    if not heads:
        raise OptionError(f"{name} has no step; begin each with a line such as “## Follow one object”")
    for begin, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        where = f"{name}, line {begin + 1}, step “{lines[begin][3:].strip()}”"
        steps.append(_step(where, lines[begin][3:].strip(), lines[begin + 1 : end]))
    return steps


def _step(where: str, title: str, lines: Sequence[str]) -> Step:
    found: dict[str, list[str]] = {"Idea": []}
    settings, part = None, "Idea"
    for paragraph in _paragraphs(lines):
        if settings is None:
            settings = _settings(where, paragraph)
            continue
        if begins := re.match(r"\*\*(.+?):?\*\*:?\s*", paragraph):
            part = begins[1]
            if part not in PARTS or part in found:
                raise OptionError(
                    f"{where}: “**{part}:**” is not expected there; a step has one each of "
                    f"{', '.join(f'**{one}:**' for one in PARTS)}"
                )
            found[part] = []
        text = paragraph[begins.end() :] if begins else paragraph
        found[part] += [text] if text else []
    missing = [one for one in ("Idea", *PARTS) if not found.get(one)]
    if missing:
        raise OptionError(
            f"{where}: its {missing[0].lower()} is missing; write the idea, then {_list(PARTS)}"
        )
    texts = {one.lower(): found[one] for one in ("Idea", *PARTS)}
    return Step(title, **(settings or {}), **texts)


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Lines joined, up to an empty one.  An indented line is a formula, and a paragraph of its own."""
    gathered: list[str] = []
    for line in [*lines, ""]:
        formula = line.startswith("    ")
        if (formula or not line.strip()) and gathered:
            yield " ".join(gathered)
            gathered = []
        if formula and line.strip():
            yield line.rstrip()
        elif line.strip():
            gathered.append(line.strip())


def _settings(where: str, line: str) -> dict:
    """The line in brackets: [example: koi; preset: bounded; track: yes; frame: 60; show: look, chart]."""
    if not (line.startswith("[") and line.endswith("]")):
        raise OptionError(f"{where}: a line such as “[example: koi]” is expected below the heading")
    pairs = [one.partition(":") for one in line[1:-1].split(";")]
    given = {key.strip(): value.strip() for key, _, value in pairs}
    for key, value in given.items():
        if key not in SETTINGS or not value:
            raise OptionError(f"{where}: “{key}: {value}” is no setting; give {_list(SETTINGS)} with a value")
    preset, track, frame = given.get("preset", ""), given.get("track", "no"), given.get("frame", "0")
    show = tuple(one.strip() for one in given.get("show", "").split(",") if one.strip())
    if "example" not in given:
        raise OptionError(f"{where}: its example is missing; name one, as in “[example: koi]”")
    if preset and preset not in PRESETS:
        raise OptionError(f"{where}: there is no preset “{preset}”; choose one of {', '.join(PRESETS)}")
    if track not in ("yes", "no") or (track == "yes" and not preset):
        raise OptionError(f"{where}: track is “{track}”; give yes or no, and with yes a preset")
    if not frame.isdecimal():
        raise OptionError(f"{where}: frame is “{frame}”; give its number, counted from 1")
    if unknown := [one for one in show if one not in PLACES]:
        raise OptionError(f"{where}: show is “{unknown[0]}”; choose of {', '.join(PLACES)}")
    return {
        "example": given["example"],
        "preset": preset,
        "track": track == "yes",
        "frame": int(frame),
        "show": show,
    }


def _list(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


# what is drawn ----------------------------------------------------------------------------------------------


def lesson(steps: Sequence[Step], titles: dict[str, str]) -> str:
    """HTML of all steps, the first of them seen.  titles: of the examples, by name."""
    count = len(steps)
    return "".join(_drawn(number, count, step, titles) for number, step in enumerate(steps))


def _drawn(number: int, count: int, step: Step, titles: dict[str, str]) -> str:
    links = "".join(
        f'<button type="button" data-see="{place}">{PLACES[place]}</button>'
        for place in ("picture", *step.show)
    )
    return (
        f'<section class="stm-learn-step" data-step="{number}" data-example="{escape(step.example)}" '
        f'data-preset="{step.preset}" data-track="{"1" * step.track}" data-frame="{step.frame or ""}"'
        f'{" hidden" * (number > 0)} aria-label="Step {number + 1} of {count}">'
        f'<h3 tabindex="-1"><small>Step {number + 1} of {count}</small> {_inline(step.title)}</h3>'
        f"{_text(step.idea)}"
        '<p><button type="button" class="stm-learn-set" data-learn="set">'
        f"{_inline(_doing(step, titles))}</button> "
        f'<span class="stm-learn-state" role="status"></span></p>'
        f'<p class="stm-learn-see" hidden>Go to: {links}</p>'
        f'<div class="stm-learn-question">{_text(step.question)}'
        '<button type="button" data-learn="answer" aria-expanded="false">Show the answer</button>'
        f'<div class="stm-learn-answer" hidden>{_text(step.answer)}</div></div>'
        f'<details class="stm-learn-more"><summary>More: formulas and papers</summary>{_text(step.more)}'
        "</details></section>"
    )


def _doing(step: Step, titles: dict[str, str]) -> str:
    """What one press sets up."""
    parts = [f"open “{titles.get(step.example, step.example)}”"]
    if step.preset:  # by its name in the list, and the short one
        parts.append(f"choose “{PRESETS[step.preset].title.split(':')[0]}” (`{step.preset}`)")
    parts += ["track"] if step.track else []
    words = parts[0] if len(parts) == 1 else _list(parts)
    return words[:1].upper() + words[1:]


def _text(paragraphs: Sequence[str]) -> str:
    return "".join(
        f'<p class="stm-formula">{_formula(one.strip())}</p>'
        if one.startswith("    ")
        else f"<p>{_inline(one)}</p>"
        for one in paragraphs
    )


def _inline(text: str) -> str:
    """Markdown within a paragraph: `code`, **strong** and *emphasis*; x_i sets i low."""
    pieces = _safe(text).split("`")
    for n, piece in enumerate(pieces):
        marked = re.sub(r"\b([A-Za-z])_(\w)\b", r"\1<sub>\2</sub>", piece)
        marked = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", marked)
        pieces[n] = f"<code>{piece}</code>" if n % 2 else re.sub(r"\*(.+?)\*", r"<em>\1</em>", marked)
    return "".join(pieces)


def _formula(text: str) -> str:
    """A formula in plain letters, with x_i and x_{key} set low and x^2 set high."""
    low = re.sub(
        r"_(?:\{([^}]*)\}|(\w))",
        lambda found: f"<sub>{found[1] or found[2]}</sub>",
        escape(text),
    )
    high = re.sub(r"\^(?:\{([^}]*)\}|(\w))", lambda found: f"<sup>{found[1] or found[2]}</sup>", low)
    return high.translate(_TAKEN).replace("`", "&#96;")


def _safe(text: str) -> str:
    """The text for a template of Gradio, with the signs escaped that Gradio would take for its own."""
    return escape(text).translate(_TAKEN)
