"""Looking inside a model: pictures of what it sees and says."""
