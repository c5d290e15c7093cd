"""Results on disk while a long command runs, so that one that was broken off can go on.

Beside the output ``name`` lie ``name.part``, fixed-size records one after the other, and
``name.part.json``, what they belong to. Both are gone once the output is written.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import RequestError


class Journal:
    """Records of one command, in the order of its inputs.

    Args:
        output: What the command writes in the end.
        dtype: Of a record.
        fingerprint: Of all that the records depend on, from ``fingerprint``.

    Raises:
        RequestError: Records lie there that belong to other inputs or options.
    """

    def __init__(self, output: Path, dtype: np.dtype, fingerprint: str) -> None:
        self._records = output.with_name(f"{output.name}.part")
        self._about = output.with_name(f"{output.name}.part.json")
        self._dtype = dtype
        self._open(fingerprint)

    @property
    def num_done(self) -> int:
        """Whole records that were written, now or before."""
        return self._records.stat().st_size // self._dtype.itemsize

    def append(self, records: NDArray[Any]) -> None:
        """Write further records; a part of one that an interruption left is dropped."""
        with self._records.open("r+b") as file:
            file.truncate(self.num_done * self._dtype.itemsize)
            file.seek(0, 2)
            file.write(records.tobytes())

    def read(self) -> NDArray[Any]:
        """All records, read from disk as they are used."""
        if not self.num_done:
            return np.empty(0, self._dtype)
        return np.memmap(self._records, self._dtype, mode="r", shape=(self.num_done,))

    def remove(self) -> None:
        self._records.unlink()
        self._about.unlink()

    def _open(self, fingerprint: str) -> None:
        if self._about.exists() and self._records.exists():
            if json.loads(self._about.read_text("utf-8")).get("fingerprint") != fingerprint:
                raise RequestError(
                    f"{self._records} was begun with other inputs or options. Delete it to begin "
                    "anew, or choose another --output."
                )
            return
        self._records.write_bytes(b"")
        self._about.write_text(json.dumps({"fingerprint": fingerprint}), encoding="utf-8")


def fingerprint(texts: Iterable[str], **options: object) -> str:
    """A digest of texts and options."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
