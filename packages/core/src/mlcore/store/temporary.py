"""Folders for what is on its way to a store."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlcore.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new, empty folder of the system's, gone when the block ends.

    Raises:
        StoreError: There is no room in it. Any other error is that of whoever works in it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
            yield Path(directory)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(
            f"there is no room for temporary files: {error.strerror}",
            where=tempfile.gettempdir(),
            hint="free space there, or name another folder in the environment variable TMPDIR",
        ) from error
