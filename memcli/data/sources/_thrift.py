"""Structs in Thrift's compact protocol, as Parquet files hold them (thrift-compact-protocol.md of apache/thrift)."""

from typing import Any, BinaryIO

_STOP, _TRUE, _FALSE, _BYTE, _SHORT, _LONG, _DOUBLE, _TEXT, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12
_DEEPEST, _FIELDS = 16, 1 << 15  # structs and lists in each other; a field's number has 16 bits
_LONG_LIST = 15  # a list's first byte says that its length follows


class CompactReader:
    """Reads one struct after the other from where its stream stands. ValueError where they are damaged."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        """`most`: so many values a struct may hold, those of the structs and lists in it among them."""
        self._stream, self._most, self._left = stream, most, most

    def struct(self) -> dict[int, Any]:
        """The fields by their numbers: whole numbers, lists and structs; of others only that they are there."""
        self._left = self._most
        return self._fields(0)

    def _fields(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while (kind := (first := self._byte()) & 0xF) != _STOP:
            number = number + (first >> 4) if first >> 4 else self._number()
            if number in fields or not 0 < number < _FIELDS:
                raise ValueError("a struct has a field that it cannot have")
            fields[number] = None if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"a struct has more than {self._most:,} values")
        if _SHORT <= kind <= _LONG:
            return self._number()
        if kind == _TEXT:
            self._stream.seek(self._unsigned(), 1)
        elif kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):  # a truth value of a list takes a byte
            self._stream.seek(8 if kind == _DOUBLE else 1, 1)
        elif kind == _STRUCT and depth < _DEEPEST:
            return self._fields(depth)
        elif kind in (_LIST, _SET) and depth < _DEEPEST:
            first = self._byte()
            length = self._unsigned() if first >> 4 == _LONG_LIST else first >> 4
            return [self._value(first & 0xF, depth + 1) for _ in range(length)]
        else:
            raise ValueError("a struct has a field of an unknown type")
        return None

    def _number(self) -> int:
        """A number whose last bit is its sign."""
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)

    def _unsigned(self) -> int:
        """Seven bits a byte, the lowest first; the eighth says that more follow."""
        number = 0
        for place in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 0x7F) << place
            if byte < 0x80:
                return number
        raise ValueError("a number in a struct is too long")

    def _byte(self) -> int:
        byte = self._stream.read(1)
        if not byte:
            raise ValueError("a struct is cut off")
        return byte[0]
