"""Pictures for people: overlays, drawn measures, contact sheets and reports."""
