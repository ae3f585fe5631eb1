"""The report of a memory: one HTML page that holds everything it shows."""
