"""State, losses, optimisers, sharding, the step and the loop."""
