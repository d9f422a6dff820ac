"""Without a daemon a line of cron's runs what is due; what was missed has its turn before what always is due."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from tests.services.clocks import Faketime
from tests.services.exporter_daemon import run_cli
from tests.services.trial_jobs import KEY, TASK, TrialPackage


def test_a_missed_daily_run_is_made_up_for_beside_one_of_every_few_minutes(tmp_path: Path) -> None:
    package, clock = TrialPackage(tmp_path / "package"), Faketime(tmp_path)
    now = datetime.now().astimezone()
    noon = (now + timedelta(days=1)).replace(hour=12, minute=0, second=10, microsecond=0)
    config = {"jobs": {KEY: {"schedule": ["every 5 minutes: light", "daily at 12:00: full"]}}}

    def scheduled_at(moment: datetime) -> str:
        clock.move(int((moment - datetime.now().astimezone()).total_seconds()))
        env = {**package.environment, **clock.environment}
        done = run_cli("run", TASK, "--scheduled", "--json", base_dir=tmp_path / "base", config=config, env=env)
        assert done.returncode == 0, done.stderr
        request = json.loads(done.stdout)["request"]
        return f"{request['mode']} {request['trigger']}"

    assert scheduled_at(noon) == "full schedule"
    assert scheduled_at(noon) == "light schedule"
    # The machine was off at the next noon.
    later = noon + timedelta(hours=29)
    assert scheduled_at(later) == "full catch-up"
    assert scheduled_at(later) == "light schedule"
