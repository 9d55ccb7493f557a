"""The anatomy of a radiograph: a network reads its structures, and one result holds them with their measures."""
