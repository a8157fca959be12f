"""The errors that a caller may see: each carries one sentence saying what, got, expected, and what to do."""


class StmError(Exception):
    """A mistake or limit that the caller can do something about; its text is fit to be shown to a visitor."""


class VideoError(StmError):
    """A clip or frame cannot be read or written."""


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
