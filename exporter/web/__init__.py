"""What the daemon answers over HTTP: the layers that a request passes, one after another.

`connections` takes it; `door` lets it in as a web configuration file says (`web_config`); `metrics_app` answers the
scrape, behind `metrics_gate` where that needs a token; `api` and `page` answer all else. Who may is said by `access`,
what every answer has in common by `answers`. `server` puts the layers together and serves.
"""
