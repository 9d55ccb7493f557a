"""Collections of files: found, worked through on all cores, resumed after a kill, and stored."""
