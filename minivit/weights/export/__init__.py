"""Models for other programs: a file or a folder that they load without minivit."""
