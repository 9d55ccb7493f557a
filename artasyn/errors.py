"""The errors that artasyn raises: one hierarchy, so ``except ArtasynError`` catches all of them.

- `ArtasynError`

  - `ImageError`: an array is not what the library's conventions ask for.
  - `RadiographError`: a file cannot be read as one frontal radiograph.
  - `SynthesisError`: an anomaly cannot be made.

    - `NothingShows`: an anomaly was rendered, but no pixel changed.

  - `DataError`: a folder or an option is not what a command needs.
  - `ModelError`: a stored model is missing, damaged or of another kind.
  - `MissingExtra`: a package of an extra is not installed.
"""

from __future__ import annotations


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


class DataError(ArtasynError, ValueError):
    """A folder does not hold what a command needs."""


class ModelError(ArtasynError, ValueError):
    """A stored model is missing, damaged or of another kind."""


class MissingExtra(ArtasynError, ImportError):
    """A package of an extra is not installed; the message gives the command that installs it."""
