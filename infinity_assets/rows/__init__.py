"""What a row is: its columns and its id; the files rows are read from, and the files they are written to."""
