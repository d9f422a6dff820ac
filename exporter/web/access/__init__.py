"""Who may do what: tokens, the passwords of users, what both may do, and how long wrong ones are put off.

Command lines load the tokens alone; nothing of the web server comes with them.
"""
