"""The parts of certificate renewal: what there is, what is due, issuing, switching, and what came of it."""
