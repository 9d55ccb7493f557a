"""Results in standard formats, and what a whole collection of them holds."""
