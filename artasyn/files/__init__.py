"""One file format a file: pixels, volumes and bytes in and out, as arrays."""
