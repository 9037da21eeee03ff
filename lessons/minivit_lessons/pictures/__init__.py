"""Drawing code that would be too long for a lesson's cell, a module for each topic."""
