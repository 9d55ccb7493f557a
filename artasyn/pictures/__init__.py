"""What people look at: overlays, drawn measures, sheets and reports."""
