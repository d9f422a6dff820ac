"""What the demo does about its alerts, as it would stand in a configuration: `remediation.rules`."""

from __future__ import annotations

from typing import Any

import yaml

_RULES = """
- name: restart-agent                 # bundled
  alert: AgentDown
  target_label: agent
  steps: [{task: agent-monitor, mode: repair}]
  proof: {task: agent-monitor, mode: check, metric: sutazai_agent_up, labels: [agent], at_least: 1}

- name: renew-certificate             # bundled
  alert: CertificateInvalid
  steps: [{task: certificate-renewal, mode: standard}]
  proof: {task: certificate-renewal, mode: watch, metric: sutazai_certificate_valid, labels: [certificate], at_least: 1}

- name: rotate-logs
  alert: LogGrowth
  steps: [{task: log-rotation, mode: standard}]
  proof: {task: health-check, mode: light, metric: sutazai_log_files_oversize, at_most: 0}

- name: new-backup                    # proven by one that was made within the last two minutes and found whole
  alert: BackupDamaged
  steps: [{task: database-maintenance, mode: backup}]
  proof:
    {task: backup-verification, mode: standard, metric: sutazai_backup_newest_verified_timestamp_seconds,
     labels: [kind], from_now: true, at_least: -120}
"""


def remediations(*, docker: bool) -> list[dict[str, Any]]:
    """The rules; without Docker there is nothing that an agent could be restarted by."""
    rules: list[dict[str, Any]] = yaml.safe_load(_RULES)
    return [rule for rule in rules if docker or rule["name"] != "restart-agent"]
