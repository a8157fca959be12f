"""Shards hold the whole of the data, in files of a limited size."""

import zipfile
from pathlib import Path

from stm_core.training.data.shards import pack


def test_shards_hold_every_file_once_within_their_limit(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for n in range(20):
            (tmp_path / "set" / kind / f"{n}.png").write_bytes(bytes(1000))
    shards = pack([tmp_path / "set"], tmp_path / "out", 8000)
    names = []
    for shard in shards:
        assert shard.stat().st_size <= 8000
        with zipfile.ZipFile(shard) as archive:
            names += archive.namelist()
            stems = [Path(name).stem for name in archive.namelist()]
            assert all(stems.count(stem) == 2 for stem in stems)  # a picture and its mask stay together
    assert len(names) == len(set(names)) == 40 and "set/images/0.png" in names
