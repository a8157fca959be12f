"""Lists of numbers that a call of the API sends: clicks, and ranges of frames."""

import json

from stm_core.errors import PromptError


def ranges_of(absent: list | str | None) -> dict[int, list[tuple[int, int]]]:
    """The ranges of frames in which an object is not there, by object.  Raises PromptError."""
    found: dict[int, list[tuple[int, int]]] = {}
    for row in rows_of(absent or [], (3, 3), "[object, first, last]", "absent"):
        if any(value != int(value) for value in row):
            raise PromptError(f"absent has {row}, expected whole numbers [object, first, last]")
        number, first, last = map(int, row)
        found.setdefault(number, []).append((first, last))
    return found


def rows_of(
    sent: list | str, lengths: tuple[int, int], shape: str, what: str = "clicks"
) -> list[list[float]]:
    """Clicks or the like as lists of numbers.  Raises PromptError, which names the expected form.

    sent: the list, or its JSON.
    lengths: fewest and most numbers of a row.
    """
    if isinstance(sent, str):
        try:
            sent = json.loads(sent)
        except (ValueError, RecursionError) as error:
            raise PromptError(f"{what} must be a list of {shape}, got {sent[:60]}") from error
    if not isinstance(sent, list) or not all(isinstance(row, (list, tuple)) for row in sent):
        raise PromptError(f"{what} must be a list of {shape}, got {str(sent)[:60]}")
    for row in sent:
        if not lengths[0] <= len(row) <= lengths[1] or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e7 for v in row
        ):
            raise PromptError(f"one of the {what} is {str(row)[:60]}, expected {shape}")
    return [list(row) for row in sent]
