"""The errors that artasyn raises: one hierarchy, so ``except ArtasynError`` catches all of them.

- `ArtasynError`

  - `ImageError`: an array is not what the library's conventions ask for.
  - `RadiographError`: a file cannot be read as one frontal radiograph.
  - `SynthesisError`: an anomaly cannot be made.

    - `NothingShows`: an anomaly was rendered, but no pixel changed.
    - `PromptError`: a sentence cannot be read as a prompt.

  - `DataError`: a folder or an option is not what a command needs.
  - `ModelError`: a stored model is missing, damaged or of another kind.
  - `MissingExtra`: a package of an extra is not installed.
  - `OutputError`: a result cannot be written.
  - `StoreError`: an object store does not answer, or lets nobody in.
"""

from __future__ import annotations

import errno
import os

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Numbers of the errors of a full disk."""


class ArtasynError(Exception):
    """The base class of all errors that artasyn raises; the message states what was found and what to do."""


class ImageError(ArtasynError, ValueError):
    """An array does not follow the library's conventions (see `artasyn.arrays`)."""


class RadiographError(ArtasynError, ValueError):
    """A file cannot be read as one frontal radiograph."""


class SynthesisError(ArtasynError, ValueError):
    """An anomaly cannot be made here: no lungs, or a record that does not belong to this image."""


class NothingShows(SynthesisError):
    """An anomaly was rendered, but no pixel of the image changed."""


class PromptError(SynthesisError):
    """A sentence cannot be read as a prompt: unknown words, a contradiction, or a finding that cannot be drawn."""


class DataError(ArtasynError, ValueError):
    """A folder does not hold what a command needs."""


class ModelError(ArtasynError, ValueError):
    """A stored model is missing, damaged or of another kind."""


class MissingExtra(ArtasynError, ImportError):
    """A package of an extra is not installed; the message gives the command that installs it."""


class StoreError(ArtasynError):
    """An object store behind a URL does not answer, or does not let this user in; this is no fault of one film."""


class OutputError(ArtasynError, OSError):
    """A result cannot be written: the disk is full, the folder is read-only or out of reach."""

    @classmethod
    def of(cls, path: str | os.PathLike[str], error: OSError) -> OutputError:
        """Returns the error for a path that the system refuses to write.

        Args:
            path: the file or folder.
            error: the system's error.

        Example:
            >>> str(OutputError.of("out/a.png", OSError(errno.ENOSPC, "No space left on device")))
            'out/a.png cannot be written (No space left on device); free space, then go on with the same command'
        """
        todo = "free space, then go on with the same command"
        if error.errno not in FULL:
            todo = "check the folder and its permissions, or choose another folder"
        found = f"cannot be written ({error.strerror or error})"
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            found, todo = "lies below a file", "move that file away, or choose another folder"
        if isinstance(error, IsADirectoryError):
            found = "is a folder, so no file of that name can be written"
        return cls(error.errno, f"{os.fspath(path)} {found}; {todo}")

    def __str__(self) -> str:
        return str(self.args[-1])
