"""Reads and writes the byte strings in Interledger packets: OCTET STRING in canonical OER (ITU-T X.696)."""


def octet_string(octets: bytes) -> bytes:
    """Encodes a byte string in canonical OER: first its length, then its bytes.

    A length below 128 is encoded in one byte. A length of 128 or more is encoded in as few bytes as possible.
    """
    length = len(octets)
    if length < 0x80:
        return bytes([length]) + octets
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits + octets


def read_octet_string(octets: bytes) -> tuple[bytes, bytes]:
    """Reads the first byte string in a packet. Returns this byte string and the rest of the packet."""
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
