"""A chest CT with its structures, and variants of the patient made from it."""
