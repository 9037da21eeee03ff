"""What every part may use: text for a terminal, notices, files written whole, integers as arguments."""
