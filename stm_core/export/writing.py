"""Exports into a folder, with a folder per format; only files of our earlier exports are replaced."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from stm_core.errors import DiskError
from stm_core.export.finished_run import Result
from stm_core.export.order import Format, Options, Order
from stm_core.export.sinks import FolderSink, one_file
from stm_core.media.written import Written

log = logging.getLogger(__name__)
NOTES, REPORT = ".export.json.notes", "export.json"


def export(
    result: Result, formats: Sequence[Format], out: Path, options: Options, warnings: list[str]
) -> Iterator[tuple[Format, int]]:
    """Write a run to out/FORMAT/..., and the list of these files to out/export.json.

    Yields (format, frames done) again and again.  What was exported before stays; a format that is exported
    again replaces its own files.
    warnings: receives what could not be kept, such as the sound.
    Raises OptionError before anything is written when a file would be replaced that is not ours, the clip
    is needed, or two files would have one name.
    """
    written = Written(out, NOTES, REPORT)
    orders = [Order(result, one, options) for one in formats]
    written.check([f"{order.format.name}/{name}" for order in orders for name in order.names()])
    written.begin(lambda name: name.partition("/")[0] in {one.name for one in formats})
    try:
        for order in orders:
            sink = FolderSink(written, order.format.name)
            for done in order.write(sink):
                yield order.format, done
            warnings += [told for told in sink.warnings if told not in warnings]
    finally:  # also of an export that was stopped: the files are ours
        try:
            written.report({"clip": result.name, "frames": len(result.frames)})
        except DiskError as error:
            log.debug("the notes beside the files stay: %s", error)


def export_file(
    result: Result, which: Format, path: Path, options: Options, warnings: list[str]
) -> Iterator[int]:
    """Write a run in one format to one file, a ZIP where there are several; yields frames done."""
    order = Order(result, which, options)
    order.names()  # checked before anything is written
    with one_file(path, which.single) as sink:
        yield from order.write(sink)
    warnings += sink.warnings
