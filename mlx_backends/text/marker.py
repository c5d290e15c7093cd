"""Finds a mark, such as ``<tool_call>``, in text that comes in pieces."""


class MarkerScanner:
    """Looks for the first occurrence of one mark and keeps what follows it."""

    def __init__(self, marker: str) -> None:
        if not marker:
            raise ValueError("A marker has at least one character.")
        self._marker = marker
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Take the next piece.

        Returns the text that is certain to come before the mark, and the text after the mark if it
        was found: then the scanner starts anew.
        """
        pending = self._held + text
        before, marker, after = pending.partition(self._marker)
        if marker:
            self._held = ""
            return before, after
        cut = len(pending) - self._length_of_beginning(pending)
        self._held = pending[cut:]
        return pending[:cut], None

    def finish(self) -> str:
        """Return the text held back, which cannot become the mark any more."""
        held, self._held = self._held, ""
        return held

    def _length_of_beginning(self, text: str) -> int:
        """Length of the longest end of the text that begins the mark."""
        longest = min(len(text), len(self._marker) - 1)
        return next((n for n in range(longest, 0, -1) if text.endswith(self._marker[:n])), 0)
