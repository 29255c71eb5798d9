"""How one set of networks is trained: the loop, its schedules, and the state a resume needs."""
