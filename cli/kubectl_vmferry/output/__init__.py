"""How results are shown: as a table, as JSON lines, as a picture."""
