"""The command line: it reads the options, runs one command, and prints what came of it."""
