"""Transactions of the store, over several of its nouns."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunix_core.errors import ConflictError, TunixError
from tunix_core.store import Store

AT = "2026-03-01T00:00:00.000000Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "tunix.db")


def start_in_vain(store: Store, import_id: str) -> None:
    with store.transaction():
        store.imports.start(import_id, AT, "", "")
        raise ConflictError("something went wrong")


def test_what_is_written_in_a_transaction_is_stored_together_or_not_at_all(store: Store) -> None:
    with store.transaction():
        store.imports.start("kept", AT, "", "")
        store.imports.update("kept", 1, 0, 0)
    with pytest.raises(ConflictError):
        start_in_vain(store, "lost")
    assert (store.imports.exists("kept"), store.imports.exists("lost")) == (True, False)


def test_a_part_of_a_transaction_is_taken_back_alone(store: Store) -> None:
    with store.transaction():
        store.imports.start("before", AT, "", "")
        with pytest.raises(ConflictError):
            start_in_vain(store, "within")
        store.imports.start("after", AT, "", "")
    found = [store.imports.exists(name) for name in ("before", "within", "after")]
    assert found == [True, False, True]


def test_while_one_store_writes_another_reads_what_was_there_before(
    store: Store, tmp_path: Path
) -> None:
    other = Store.open(tmp_path / "tunix.db")
    with store.transaction():
        store.imports.start("new", AT, "", "")
        assert not other.imports.exists("new")
    assert other.imports.exists("new")


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tunix.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(TunixError, match=r"cannot open the database .*tunix\.db"):
        Store.open(path)


def test_a_workspace_that_is_up_to_date_is_opened_without_what_migrates_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tunix.db"
    program = (
        "import sys; from pathlib import Path; from tunix_core.store import Store; "
        "Store.open(Path(sys.argv[1])).close(); print('sqlite_utils' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(path)]
    said = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2)]
    assert said == [b"True\n", b"False\n"]


def test_a_new_database_is_opened_by_many_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        with ThreadPoolExecutor(6) as openers:
            for store in list(openers.map(Store.open, [path] * 6)):
                store.close()
