"""Results in standard formats, and statistics of whole collections."""
