"""One batch on several threads, and on several processes (ranks) with a GPU each or none."""
