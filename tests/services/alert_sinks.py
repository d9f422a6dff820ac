"""Where an Alertmanager's news end in tests, and how to wait for those about one alert."""

from __future__ import annotations

from collections.abc import Callable

from tests.services.smtp_sink import Mail, SmtpSink
from tests.services.wait import wait_for
from tests.services.webhook_sink import Post, WebhookSink


class MailSink(SmtpSink):
    """A mail server whose mails are looked for by what they are about."""

    def about(self, about: Callable[[Mail], object]) -> list[Mail]:
        """The mails that are `about` something."""
        return [mail for mail in list(self.mails) if about(mail)]

    def wait(self, about: Callable[[Mail], object], what: str, timeout_seconds: float = 60) -> Mail:
        """Wait for a mail that is `about` something."""
        return wait_for(lambda: self.about(about), timeout_seconds, what, detail=self._subjects)[0]

    def _subjects(self) -> str:
        return "\n".join(str(mail.message["Subject"]) for mail in self.mails)


class HookSink(WebhookSink):
    """A webhook of Alertmanager's whose posts are looked for by an alert in them."""

    def about(self, name: str, **labels: str) -> list[Post]:
        """The posts with an alert of that name and these labels."""
        wanted = {"alertname": name, **labels}.items()
        return [post for post in list(self.posts) if any(wanted <= labels.items() for labels in labels_in(post))]

    def wait(self, name: str, status: str = "firing", timeout_seconds: float = 60, **labels: str) -> Post:
        """Wait for a post about an alert in a state."""

        def found() -> list[Post]:
            return [post for post in self.about(name, **labels) if post.document["status"] == status]

        return wait_for(found, timeout_seconds, f"the webhook hears of {name} {status}")[0]


def labels_in(post: Post) -> list[dict[str, str]]:
    """The labels of each alert in a post."""
    return [alert["labels"] for alert in post.document["alerts"]]
