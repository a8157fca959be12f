"""The errors for callers. Each has one sentence: what is wrong, got, expected, and what to do."""


class StmError(Exception):
    """A mistake or limit that the caller can do something about; its text may be shown to a visitor."""


class VideoError(StmError):
    """A clip or frame cannot be read or written."""


class DiskError(VideoError):
    """A file cannot be written; the text names its path."""


class MaskError(StmError):
    """A mask cannot be used as it is."""


class WeightsError(StmError):
    """A weights file is missing, damaged, or belongs to another network."""


class LimitError(StmError):
    """Something is larger than a stated limit: pixels, frames, seconds, bytes, objects."""


class PromptError(StmError):
    """A click or prompted frame makes no sense for this clip."""


class OptionError(StmError):
    """An option has a value that it cannot have."""


class BudgetError(LimitError, OptionError):
    """The memory limit is too small for what must be kept: a limit that the caller has chosen."""


FOLDER = "a folder of pictures or "  # what visitors are not told to give: a browser sends no folder


def for_visitors(error: Exception) -> str:
    """The text of an error for somebody who must not see paths of the server."""
    if isinstance(error, DiskError):
        return (
            "the server could not store a file, because its disk is full or failing; finished work is kept, "
            "try again later"
        )
    return str(error).replace(FOLDER, "")
