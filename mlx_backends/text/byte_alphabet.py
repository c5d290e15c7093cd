"""The 256 characters by which byte-level vocabularies write bytes.

Source: ``bytes_to_unicode`` of GPT-2 (Radford et al. 2019): printable Latin-1 characters stand for
themselves, and the other bytes, in order, for the characters from U+0100 on.
"""


def _alphabet() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    by_character = {chr(byte): byte for byte in printable}
    return by_character | {chr(0x100 + index): byte for index, byte in enumerate(others)}


BYTE_OF = _alphabet()
CHARACTER_OF = {byte: character for character, byte in BYTE_OF.items()}


def bytes_of(token: str) -> bytes | None:
    """Read a token as bytes; None if it is not written in the alphabet."""
    try:
        return bytes(BYTE_OF[character] for character in token)
    except KeyError:
        return None


def characters_of(data: bytes) -> str:
    """Write bytes in the alphabet."""
    return "".join(CHARACTER_OF[byte] for byte in data)
