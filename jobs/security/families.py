"""What the security scan exports."""

from __future__ import annotations

from jobs.core.model import Family
from jobs.core.scoring import DEDUCTION_FAMILY

SCORE = Family(name="sutazai_security_score", help="100 minus the deductions of the last security scan.")
RISK = Family(
    name="sutazai_security_risk",
    help="1 for the overall risk that the last scan came to, 0 for others.",
    labels=("risk",),
)
FINDINGS = Family(
    name="sutazai_security_findings",
    help="Open findings of an area by severity, without accepted ones; no 0 where no scanner of it looked.",
    labels=("area", "severity"),
)
NEW_FINDINGS = Family(
    name="sutazai_security_new_findings",
    help="Open findings that the last scan has seen for the first time, by severity.",
    labels=("severity",),
)
UNSEEN_FINDINGS = Family(
    name="sutazai_security_unseen_findings",
    help="Open findings of former scans that may still be there: nobody could look at them in the last scan.",
)
FIXED_FINDINGS = Family(
    name="sutazai_security_fixed_findings", help="Findings of former scans that the last scan has found gone."
)
ACCEPTED = Family(
    name="sutazai_security_accepted_findings", help="Findings that are accepted by the settings, and not scored."
)
EXPIRED = Family(
    name="sutazai_security_expired_acceptances",
    help="Entries of accepted_risks whose last day has passed, though what they accepted is still there.",
)
SCANNER_SUCCESS = Family(
    name="sutazai_security_scanner_success",
    help="1 if the scanner was through when it last looked, 0 if it is unknown what is there.",
    labels=("scanner", "area"),
)
SCANNER_LAST_SUCCESS = Family(
    name="sutazai_security_scanner_last_success_timestamp_seconds",
    help="When the scanner was last through.",
    labels=("scanner",),
)
SCANNER_DURATION = Family(
    name="sutazai_security_scanner_duration_seconds",
    help="How long the scanner took when it last looked, if it ended by itself.",
    labels=("scanner",),
)
SCANNER_SCANNED = Family(
    name="sutazai_security_scanner_scanned", help="Things the scanner has looked at.", labels=("scanner",)
)
SCANNER_MISSED = Family(
    name="sutazai_security_scanner_missed", help="Things the scanner could not look at.", labels=("scanner",)
)
SCANNER_DATABASE = Family(
    name="sutazai_security_scanner_database_timestamp_seconds",
    help="When the scanner's database of vulnerabilities or rules was made.",
    labels=("scanner",),
)
FAMILIES = (
    *(SCORE, RISK, DEDUCTION_FAMILY, FINDINGS, NEW_FINDINGS, UNSEEN_FINDINGS, FIXED_FINDINGS, ACCEPTED, EXPIRED),
    *(SCANNER_SUCCESS, SCANNER_LAST_SUCCESS, SCANNER_DURATION, SCANNER_SCANNED, SCANNER_MISSED, SCANNER_DATABASE),
)
