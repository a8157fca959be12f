"""Every format of the table is made behind the guard."""

import zipfile
from pathlib import Path

import pytest

from demo.work.taking import ordered, take
from stm_core.export.order import Options
from stm_core.export.registry import FORMATS


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, clip):
    from pages import Bench

    bench = Bench(tmp_path_factory.mktemp("tracked"))
    user = bench.opened(clip[0])
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    return bench, user.work


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_one_file_made_behind_the_guard(tracked, tmp_path, name):
    bench, work = tracked
    run, which = Path(work.run.folder), FORMATS[name]
    order = ordered(run, list(work.run.records), {1: "Über/fish"}, "../a clip", which, Options())
    target = tmp_path / order.file_name
    assert target.parent == tmp_path and target.suffix == (which.ending if which.single else ".zip")
    *_, (last, _) = take(bench.guard, order, work.clip.path, target)
    assert last["done"] >= len(work.run.records) and last["warnings"] == []
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    if not which.single:
        with zipfile.ZipFile(target) as pack:
            assert pack.testzip() is None
            assert set(order.preview()) <= {Path(one).name for one in pack.namelist()}
