"""A chest CT with its structures, and other patients made from it."""
