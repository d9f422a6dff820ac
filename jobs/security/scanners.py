"""Every scanner there is, in the order of the report."""

from __future__ import annotations

from jobs.security.scanner import Scanner

SCANNERS: tuple[Scanner, ...] = ()
