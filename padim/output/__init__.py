"""What leaves the program: images, tables, JSON, exported scorers."""
