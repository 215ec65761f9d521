"""For coding agents, over the Model Context Protocol: the commands that write to no target. No decision of its own."""
