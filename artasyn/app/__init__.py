"""A page for the browser: films, synthetic twins and projected CTs, for one machine and no network."""
