"""The few rules of protobuf's wire format that Feast's stored bytes use. Pure."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """Protobuf's varint; a negative number is its 64-bit two's complement, ten bytes long."""
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """(unsigned value, where it ends). Raises IndexError when the bytes end first."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


def read_varints(raw: bytes) -> list[int]:
    values = []
    at = 0
    while at < len(raw):
        value, at = read_varint(raw, at)
        values.append(signed(value))
    return values


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data
