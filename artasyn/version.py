"""The version of the installed package, as setup.cfg states it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("artasyn")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"
