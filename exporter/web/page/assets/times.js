// Moments and durations for people. "5 min ago" goes by the exporter's clock, as the reader's may be wrong.

import {put, mark} from "./dom.js";

const CLOCK = new Intl.DateTimeFormat("en-GB", {hour: "2-digit", minute: "2-digit"});
const DAY = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
const YEAR = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short", year: "numeric"});
const WHOLE = new Intl.DateTimeFormat("en-GB", {dateStyle: "full", timeStyle: "long"});
const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
let aheadMs = 0;

/** The reader's zone. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Take the exporter's clock from a moment that it has just named. */
export function setClock(iso) {
  aheadMs = new Date(iso) - Date.now();
}

/** Show a moment in a <time>, which `tick` keeps true; nothing where there is none. */
export function moment(element, iso) {
  element.hidden = !iso;
  if (!iso) return;
  if (element.dateTime !== iso) {
    mark(element, "datetime", iso);
    const at = new Date(iso);
    mark(element, "title", Number.isNaN(at.getTime()) ? null : WHOLE.format(at));
  }
  show(element);
}

/** Bring every moment on the page up to date. */
export function tick() {
  document.querySelectorAll("time[datetime]:not([hidden])").forEach(show);
}

function show(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return put(element, element.dateTime);
  put(element, `${relative((at - Date.now() - aheadMs) / 1000)}, ${absolute(at)}`);
}

/** How far off a moment is, in seconds from now. */
export function relative(seconds) {
  const size = Math.abs(seconds);
  if (size < 5) return seconds > 0 ? "in a moment" : "just now";
  const [unit, length] = UNITS.find(([, length]) => size >= length) ?? ["s", 1];
  const text = `${Math.floor(size / length)} ${unit}`;
  return seconds > 0 ? `in ${text}` : `${text} ago`;
}

function absolute(at) {
  const now = new Date(Date.now() + aheadMs);
  if (at.toDateString() === now.toDateString()) return CLOCK.format(at);
  return Math.abs(at - now) < 300 * 86400e3 ? DAY.format(at).replace(",", "") : YEAR.format(at);
}

/** A duration in seconds: 350 ms, 3.2 s, 4 min 5 s, 2 d 8 h. */
export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pairs = whole < 3600 ? [whole / 60, "min", whole % 60, "s"]
    : whole < 86400 ? [whole / 3600, "h", (whole % 3600) / 60, "min"]
    : [whole / 86400, "d", (whole % 86400) / 3600, "h"];
  const [major, majorUnit, minor, minorUnit] = pairs;
  return `${Math.floor(major)} ${majorUnit}` + (Math.floor(minor) ? ` ${Math.floor(minor)} ${minorUnit}` : "");
}
