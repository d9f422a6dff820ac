// What was found, the worst first, narrowed by a text and a severity. The status names the worst only: the others are
// asked for (GET api/v1/findings) as soon as somebody narrows them or wants to see more.

import * as access from "./access.js";
import {problemOf} from "./actions.js";
import {byId, fill, longList, number, part, put, putWithCode} from "./dom.js";
import {moment} from "./times.js";
import {SEVERITIES, severity, tone} from "./words.js";

const SHOWN = 50;
const PAUSE_MS = 10000;  // between two looks at all of them, which may be many
const LONGEST_WAIT_MS = 60000;

const section = byId("findings");
const text = byId("findings-text"), least = byId("findings-severity");
const keyOf = finding => [finding.task, finding.mode, finding.kind, finding.subject].join("\n");
const rows = longList(section.querySelector("tbody"), SHOWN, keyOf, "finding", update, narrow);
let worst = [], counts = {}, total = 0;
let all = null, asking = false, askedAt = 0, problem = "";

/** Show the findings. */
export function show(status) {
  [worst, counts] = [status.findings, status.finding_counts];
  total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (total <= worst.length) all = null;
  else if (wantsAll()) ask();
  narrow();
}

const isNarrowed = () => Boolean(text.value.trim() || Number(least.value));
const wantsAll = () => total > worst.length && (isNarrowed() || rows.hasGrown());

/** Have all of them, and again after a pause if they may have changed meanwhile. */
async function ask() {
  if (asking) return;
  asking = true;
  await new Promise(resolve => setTimeout(resolve, askedAt + PAUSE_MS - Date.now()));
  askedAt = Date.now();
  try {
    all = await fetched();
    problem = "";
  } catch (error) {
    problem = error.message;
  }
  asking = false;
  narrow();
}

async function fetched() {
  const signal = AbortSignal.timeout(LONGEST_WAIT_MS);
  const response = await fetch("api/v1/findings", {headers: access.readCredentials(), cache: "no-store", signal});
  if (!response.ok) throw new Error(await problemOf(response));
  return (await response.json()).findings;
}

function narrow() {
  const words = text.value.trim().toLowerCase(), rank = Number(least.value);
  const narrowed = isNarrowed();
  if (wantsAll() && !all) ask();
  const known = total > worst.length && all ? all : worst;
  const found = narrowed ? known.filter(finding => SEVERITIES.indexOf(finding.severity) >= rank && matches(finding, words)) : known;
  const whole = known === all || total <= worst.length;
  rows.show(found, narrowed ? found.length : Math.max(total, found.length));
  put(section.querySelector(".count"), total ? bySeverity() : "");
  section.querySelector(".filter").hidden = !total;
  const matching = narrowed ? `${number(found.length)} of ${number(whole ? known.length : total)} match` : "";
  put(byId("findings-shown"), matching || wantsAll() ? [matching, reserve(whole)].filter(Boolean).join(" ") : "");
  section.querySelector("table").hidden = found.length === 0;
  const empty = section.querySelector(".empty");
  empty.hidden = found.length > 0;
  put(empty, total ? "None is as you ask." : "Nothing was found by the runs that there were.");
}

/** What is not sure of it, as long as not all were looked at. */
function reserve(whole) {
  const here = `among the ${worst.length} worst, which are here`;
  if (problem) return whole ? `as they were before: they cannot be had anew (${problem})` : `${here}: the others cannot be had (${problem})`;
  return whole ? "" : `${here}: looking at the others …`;
}

const bySeverity = () => [...SEVERITIES].reverse().filter(name => counts[name]).map(name => `${number(counts[name])} ${name}`).join(", ");
const matches = (finding, words) =>
  !words || [finding.task, finding.kind, finding.subject, finding.message, finding.remedy].some(it => it.toLowerCase().includes(words));

function update(row, finding) {
  tone(row, severity(finding.severity));
  const {message, remedy, subject} = finding;
  fill(row, {severity: finding.severity, message, subject, kind: `${finding.kind}, ${finding.task} ${finding.mode}`});
  putWithCode(part(row, "remedy"), remedy);
  part(row, "remedy").hidden = !remedy;
  part(row, "since").hidden = !finding.since;
  moment(part(row, "since").querySelector("time"), finding.since);
  moment(part(row, "seen").querySelector("time"), finding.at);
}

function narrowAnew() {
  rows.restart();
  narrow();
}

text.addEventListener("input", narrowAnew);
least.addEventListener("change", narrowAnew);
