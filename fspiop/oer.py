"""Strings of octets as Interledger packets hold them (ITU-T X.696, canonical OER)."""


def octet_string(octets: bytes) -> bytes:
    """A string behind its length, as canonical OER wants it: short below 128, else as few octets as will do."""
    length = len(octets)
    if length < 0x80:
        return bytes([length]) + octets
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits + octets


def read_octet_string(octets: bytes) -> tuple[bytes, bytes]:
    """A string and what follows it."""
    if not octets:
        raise ValueError("the packet ends before a length")
    start, length = 1, octets[0]
    if length >= 0x80:
        start += length & 0x7F
        digits = octets[1:start]
        length = int.from_bytes(digits, "big")
        if len(digits) != start - 1 or length < 0x80 or digits[0] == 0:
            raise ValueError("a length is not in its shortest form")
    end = start + length
    if end > len(octets):
        raise ValueError("the packet ends within a string")
    return octets[start:end], octets[end:]
