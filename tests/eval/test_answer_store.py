"""The store of answers after what happens to files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eval.answer_store import AnswerStore


def test_a_torn_log_loses_the_last_chunk_and_no_more(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a.sqlite")
    for chunk in range(20):
        store.put({f"{chunk}-{place}": [chunk, place] for place in range(50)})
    for name in ("a.sqlite", "a.sqlite-wal"):
        shutil.copy(tmp_path / name, tmp_path / name.replace("a.", "torn."))
    store.close()
    log = tmp_path / "torn.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-1500])
    torn = AnswerStore(tmp_path / "torn.sqlite")
    whole = [torn.get([f"{chunk}-{place}" for place in range(50)]) for chunk in range(20)]
    assert [len(found) for found in whole] == [50] * 19 + [0]
    assert whole[3]["3-7"] == [3, 7]


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(ValueError, match=r"answers\.sqlite is no readable store of answers .*move it away"):
        AnswerStore(path)


def test_a_store_damaged_inside_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    store = AnswerStore(path)
    keys = [str(place) for place in range(3000)]
    store.put({key: [0.5] * 20 for key in keys})
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no readable store"):
        AnswerStore(path).get(keys)
