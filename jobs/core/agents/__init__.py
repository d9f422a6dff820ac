"""What is known and decided about agents, without touching one: the rules of the agent monitor."""
