"""What every command shares: options, who finds the lungs, results and the notes about a collection."""
