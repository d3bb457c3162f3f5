"""Records as rows of a table: a column per field, what is more than a value as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from attrs import AttrsInstance, Factory, field, fields, frozen

from tunix_core.codec import unstructure
from tunix_core.store.connection import Connection

Reader = Callable[[Any], Any]
Values = Sequence[Any] | Mapping[str, Any]
R = TypeVar("R", bound=AttrsInstance)
T = TypeVar("T")

FETCH = 500


def marks(number: int) -> str:
    """As many question marks for as many values."""
    return ", ".join("?" * number)


def parts(values: Iterable[T], size: int = FETCH) -> Iterator[list[T]]:
    """Lists of up to ``size`` values: a query has a limited number of parameters."""
    remaining = iter(values)
    while part := list(islice(remaining, size)):
        yield part


def as_it_is(value: Any) -> Any:
    """For a column whose field holds plain data."""
    return value


@frozen
class Table(Generic[R]):
    """Where the records of a class are kept.

    Args:
        name: Name of the table.
        record: An attrs class; its fields are the columns, in their order.
        json: The columns that hold JSON, each with what makes its field of plain data.
        joined: Fields that the table has not, so that whoever selects joins them.
        is_ordered: Whether it has a ``sequence`` besides, which grows by one with every row.
        sort_keys: Whether JSON is written with its keys sorted.
    """

    name: str
    record: type[R]
    json: Mapping[str, Reader] = field(factory=dict)
    joined: tuple[str, ...] = ()
    is_ordered: bool = False
    sort_keys: bool = False
    _readers: tuple[tuple[str, Reader | None], ...] = field(
        init=False, default=Factory(lambda self: tuple(self._fields()), takes_self=True)
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that are fields of the record."""
        return tuple(name for name, _ in self._readers if name not in self.joined)

    def all(self, connection: Connection, rest: str, values: Values = ()) -> list[R]:
        """The records that a query gives which goes on with ``rest`` after its table."""
        columns = ", ".join(name for name, _ in self._readers)
        rows = connection.execute(f"SELECT {columns} FROM {self.name} {rest}", values)  # noqa: S608
        return [self._record(row) for row in rows]

    def first(self, connection: Connection, rest: str, values: Values = ()) -> R | None:
        """The first of :meth:`all`, or None."""
        found = self.all(connection, f"{rest} LIMIT 1", values)
        return found[0] if found else None

    def newest(
        self, connection: Connection, filters: Mapping[str, str], limit: int, offset: int
    ) -> list[R]:
        """Records that equal every filter, newest first. Keys are names of columns."""
        where = " AND ".join(f"{column} = ?" for column in filters) or "1"
        rest = f"WHERE {where} ORDER BY sequence DESC LIMIT ? OFFSET ?"
        return self.all(connection, rest, (*filters.values(), limit, offset))

    def beginning(self, connection: Connection, prefix: str) -> list[R]:
        """Records whose id starts with ``prefix``; at most two, to see that it is ambiguous."""
        rest = "WHERE substr(id, 1, length(:prefix)) = :prefix LIMIT 2"
        return self.all(connection, rest, {"prefix": prefix})

    def count(self, connection: Connection) -> int:
        """Number of rows."""
        return int(connection.execute(f"SELECT count(*) FROM {self.name}").fetchone()[0])  # noqa: S608

    def insert(
        self,
        connection: Connection,
        record: R,
        *,
        more: Mapping[str, Any] | None = None,
        rest: str = "",
        values: Sequence[Any] = (),
    ) -> bool:
        """Store a record, as the newest where there is an order.

        Args:
            connection: In a transaction.
            record: The record.
            more: Columns that are no field of it.
            rest: How the query goes on after its values, as after a SELECT.
            values: The parameters of ``rest``.

        Returns:
            Whether it was stored, which ``rest`` may prevent.
        """
        row = {name: self.plain(name, getattr(record, name)) for name in self.columns}
        row |= more or {}
        ordered = (", sequence", f", (SELECT coalesce(max(sequence), 0) + 1 FROM {self.name})")  # noqa: S608
        column, number = ordered if self.is_ordered else ("", "")
        query = (
            f"INSERT INTO {self.name} ({', '.join(row)}{column}) "
            f"SELECT {marks(len(row))}{number} {rest}"
        )
        return connection.execute(query, (*row.values(), *values)).rowcount == 1

    def plain(self, column: str, value: Any) -> Any:
        """What a column holds for the value of a field."""
        if value is None or column not in self.json:
            return value
        return json.dumps(unstructure(value), sort_keys=self.sort_keys)

    def assign(self, changes: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """``column = ?, ...`` for new values of fields, and the parameters."""
        text = ", ".join(f"{column} = ?" for column in changes)
        return text, [self.plain(column, value) for column, value in changes.items()]

    def _fields(self) -> Iterable[tuple[str, Reader | None]]:
        hints = get_type_hints(self.record)
        for name in (each.name for each in fields(self.record) if each.init):
            # SQLite has no truth values.
            is_bool = bool in (hints[name], *get_args(hints[name]))
            yield name, self._json_reader(name) if name in self.json else bool if is_bool else None

    def _json_reader(self, name: str) -> Reader:
        make = self.json[name]
        return lambda text: make(json.loads(text))

    def _record(self, row: Sequence[Any]) -> R:
        return self.record(
            **{
                name: value if read is None or value is None else read(value)
                for (name, read), value in zip(self._readers, row, strict=True)
            }
        )
