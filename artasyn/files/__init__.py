"""Reading and writing of pixels, volumes and bytes as arrays, one module for each file format."""
