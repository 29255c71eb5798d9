"""Jobs: what to run, the queue they wait in, the workers that run them, here or on a cluster."""
