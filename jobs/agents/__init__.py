"""The parts of the agent monitor that act: on containers, and on the files that it keeps of each agent."""
