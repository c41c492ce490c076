"""Answers on disk: a key-value table that several processes may write, each chunk committed whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 120.0


class AnswerStore:
    """JSON values by key. What `put` was given is there in full after a kill, or not at all. ValueError where the file
    is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._db = sqlite3.connect(path, timeout=PATIENCE_SECONDS, check_same_thread=False)
        with self._named():
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("create table if not exists answers (key text primary key, value text not null)")

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        found: dict[str, Any] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            query = f"select key, value from answers where key in ({','.join('?' * len(some))})"
            with self._named(), closing(self._db.execute(query, some)) as rows:
                found |= {key: json.loads(value) for key, value in rows}
        return found

    def put(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._named(), self._db:
            self._db.executemany("insert or replace into answers values (?, ?)", rows)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError:  # locked, read only, no space left: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError as error:
            damaged = f"{self._path} is no readable store of answers ({error}): move it away, and all is asked again"
            raise ValueError(damaged) from error
