"""Training: phases, the loop, losses, schedules, moving averages. Knows of no method."""
