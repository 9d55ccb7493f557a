"""What the bytes and headers of one picture mean: codestreams, stored values, windows, views and regions."""
