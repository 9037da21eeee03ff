"""What every room may use: text for a terminal, notices, atomic files, checks of integer arguments."""
