// The words of the documents for people, each with a tone (its colour) and a sign (its shape, for whom colour says nothing).

import {mark, put} from "./dom.js";

export const VERDICTS = {
  good: ["good", "✓", "Nothing is wrong"],
  attention: ["warning", "!", "Needs attention"],
  critical: ["critical", "✕", "Critical: act now"],
  unknown: ["unknown", "?", "Not known"],
};

export const SEVERITIES = ["info", "low", "medium", "high", "critical"];

const SEVERITY = {
  critical: ["critical", "✕"], high: ["critical", "▲"], medium: ["warning", "!"], low: ["unknown", "●"], info: ["unknown", "○"],
  warning: ["warning", "!"],
};

const AGENT = {
  healthy: ["good", "✓"], unhealthy: ["critical", "!"], unreachable: ["critical", "✕"], stopped: ["warning", "■"],
  paused: ["warning", "‖"], missing: ["critical", "∅"], quarantined: ["critical", "⊘"],
};

const OUTCOME = {
  ok: ["good", "✓", "Worked"], error: ["critical", "✕", "Failed"], timeout: ["critical", "✕", "Took too long"],
  stopped: ["warning", "■", "Stopped"], skipped: ["unknown", "–", "Skipped"],
};

const REMEDIATION = {
  waiting: ["warning", "?", "Waits for you"], due: ["unknown", "…", "Will be done when it is due"],
  running: ["running", "▶", "Is being done"], verifying: ["running", "▶", "Is being proved"],
  verified: ["good", "✓", "Done and proved"], failed: ["critical", "✕", "Did not help: given up"],
  rejected: ["unknown", "–", "Rejected"], expired: ["unknown", "–", "Nobody answered"], resolved: ["unknown", "–", "Not needed any more"],
};

const UNKNOWN = ["unknown", "?"];

export const agent = state => AGENT[state] ?? UNKNOWN;
export const severity = name => SEVERITY[name] ?? UNKNOWN;
export const outcome = name => OUTCOME[name] ?? [...UNKNOWN, name];
export const remediation = state => REMEDIATION[state] ?? [...UNKNOWN, state];
export const TODO_KINDS = {
  problem: "Problem", approval: "Repair that waits for you", task: "Task", alert: "Alert", daemon: "The exporter itself",
};

/** Give an element its tone and the sign in it. */
export function tone(element, [name, sign]) {
  mark(element, "data-tone", name);
  put(element.querySelector(".sign"), sign);
}

/** `3 agents`, `1 agent`. */
export const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Bytes in powers of 1024: `717 MiB`. */
export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size, step = 0;
  while (value >= 1023.5 && step < units.length - 1) [value, step] = [value / 1024, step + 1];
  return `${value < 9.95 && step ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

/** A ratio as a share: 99.5 %; never all where it is not all, nor nothing where it is not nothing. */
export function share(ratio) {
  if (ratio > 0.9994 && ratio < 1) return ">99.9\u00a0%";
  if (ratio > 0 && ratio < 0.0005) return "<0.1\u00a0%";
  return `${Number((ratio * 100).toFixed(1))}\u00a0%`;
}
