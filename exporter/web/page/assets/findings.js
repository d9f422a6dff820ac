// What was found, the worst first, narrowed by a text and a severity.

import {byId, fill, keep, part, put, putWithCode} from "./dom.js";
import {moment} from "./times.js";
import {SEVERITIES, severity, tone} from "./words.js";

const section = byId("findings");
const text = byId("findings-text"), least = byId("findings-severity");
let findings = [], counts = {};

/** Show the findings. */
export function show(status) {
  [findings, counts] = [status.findings, status.finding_counts];
  narrow();
}

function narrow() {
  const wanted = text.value.trim().toLowerCase();
  const rank = Number(least.value);
  const shown = findings.filter(finding => SEVERITIES.indexOf(finding.severity) >= rank && matches(finding, wanted));
  keep(section.querySelector("tbody"), shown, keyOf, "finding", update);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  put(section.querySelector(".count"), total ? bySeverity() : "");
  put(byId("findings-shown"), total ? `${shown.length} of ${total} shown${total > findings.length ? ` (here are the ${findings.length} worst)` : ""}` : "");
  section.querySelector("table").hidden = shown.length === 0;
  const empty = section.querySelector(".empty");
  empty.hidden = shown.length > 0;
  put(empty, total ? "None of those here is as you ask." : "Nothing was found by the runs that there were.");
}

const bySeverity = () => [...SEVERITIES].reverse().filter(name => counts[name]).map(name => `${counts[name]} ${name}`).join(", ");
const keyOf = finding => [finding.task, finding.mode, finding.kind, finding.subject].join("\n");
const matches = (finding, wanted) =>
  !wanted || [finding.task, finding.kind, finding.subject, finding.message, finding.remedy].some(it => it.toLowerCase().includes(wanted));

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

text.addEventListener("input", narrow);
least.addEventListener("change", narrow);
