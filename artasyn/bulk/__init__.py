"""Collections of files: search, parallel processing that resumes after an interruption, and storage."""
