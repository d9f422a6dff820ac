"""The modes of the agent monitor."""

CHECK, RELEASE, REPAIR, RESTART = "check", "release", "repair", "restart"
"""The job's modes: look at agents and restart what has failed for long enough; end the quarantine of one and start it;
restart one now if it is not healthy; restart one now, however it is."""
PARTICIPLES = {RELEASE: "released", REPAIR: "repaired", RESTART: "restarted"}
"""What becomes of an agent in the modes that are for one agent only."""
