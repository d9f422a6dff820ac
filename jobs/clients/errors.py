"""What can go wrong with a service, told apart because a check judges each differently.

Every message is one line that names the service, the reason and, where there is one, the remedy;
none holds a secret.
"""


class ClientError(Exception):
    """The service did not do what was asked: it is down, slow, or answered nonsense."""


class Absent(ClientError):
    """Nobody configured the service and it is not at its usual local address."""


class Refused(ClientError):
    """The service is there and answers, but does not let us in."""
