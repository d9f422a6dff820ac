"""A webhook of Alertmanager's, and how to wait for what it hears about one alert."""

from __future__ import annotations

from typing import Any

from tests.services.wait import wait_for
from tests.services.webhook_sink import Post, WebhookSink


class HookSink(WebhookSink):
    """A webhook of Alertmanager's whose posts are looked for by an alert in them."""

    def about(self, name: str, **labels: str) -> list[Post]:
        """The posts with an alert of that name and these labels."""
        wanted = {"alertname": name, **labels}.items()
        return [post for post in list(self.posts) if any(wanted <= labels.items() for labels in labels_in(post))]

    def wait(self, name: str, status: str = "firing", timeout_seconds: float = 60, **labels: str) -> Post:
        """Wait for a post about an alert, of a group in a state."""

        def found() -> list[Post]:
            return [post for post in self.about(name, **labels) if post.document["status"] == status]

        return wait_for(found, timeout_seconds, f"the webhook hears of {name} {status}")[0]

    def wait_alert(self, name: str, status: str = "firing", timeout_seconds: float = 60) -> dict[str, Any]:
        """Wait for an alert that is in a state itself, whatever the rest of its group is in."""

        def found() -> list[dict[str, Any]]:
            alerts = [alert for post in self.about(name) for alert in post.document["alerts"]]
            return [one for one in alerts if (one["labels"]["alertname"], one["status"]) == (name, status)]

        return wait_for(found, timeout_seconds, f"the webhook hears that {name} is {status}")[0]


def labels_in(post: Post) -> list[dict[str, str]]:
    """The labels of each alert in a post."""
    return [alert["labels"] for alert in post.document["alerts"]]
