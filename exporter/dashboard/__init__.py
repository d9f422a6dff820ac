"""The status page as a file: what there is to see at a glance, for whoever opens it from the disk."""
