"""Films with known lesions to measure a detector on, and how published sets lie on disk."""
