"""Thoraces that never existed: as CT volumes and as radiographs, with everything known about them."""
