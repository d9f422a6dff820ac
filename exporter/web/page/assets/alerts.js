// Alerts that fire, and the repairs that they ask for: those that wait are approved or rejected here.

import {send} from "./actions.js";
import {confirm} from "./dialogs.js";
import {about, byId, facts, fill, longList, number, part, put, putWithCode, when} from "./dom.js";
import {moment} from "./times.js";
import {counted, remediation, severity, tone} from "./words.js";

const alerts = byId("alerts"), approvals = byId("approvals");
const SHOWN = 24;
const OVER = ["verified", "failed", "rejected", "expired", "refused", "resolved"];
const keyOf = alert => `${alert.name} ${JSON.stringify(Object.entries(alert.labels).sort())}`;
const firing = longList(alerts.querySelector("ul"), SHOWN, keyOf, "alert", updateAlert);
const repairs = longList(approvals.querySelector("ul"), SHOWN, entry => entry.id, "approval", updateApproval);

/** Show the alerts and the repairs. */
export function show(status) {
  put(alerts.querySelector(".count"), status.alerts.length ? number(status.alerts.length) : "");
  alerts.querySelector(".empty").hidden = status.alerts.length > 0;
  firing.show(status.alerts);
  const waiting = status.remediations.filter(entry => entry.state === "waiting").length;
  const some = status.remediations.some(entry => !OVER.includes(entry.state));
  const open = waiting ? `${number(waiting)} waiting for you` : some ? "under way" : "of the last hour";
  put(approvals.querySelector(".count"), open);
  approvals.hidden = status.remediations.length === 0;
  repairs.show(status.remediations);
}

function updateAlert(card, alert) {
  tone(card, severity(alert.severity));
  const state = alert.state === "stale" ? "Not repeated for long: it may be over. Fires" : "Fires";
  fill(card, {name: alert.name, severity: alert.severity || "no severity", summary: alert.summary, state, of: ` of ${alert.name}`});
  part(card, "summary").hidden = !alert.summary;
  putWithCode(part(card, "runbook"), `Runbook: ${alert.runbook}`);
  part(card, "runbook").hidden = !alert.runbook;
  moment(card.querySelector("time"), alert.since);
  facts(card.querySelector("dl"), Object.entries(alert.labels));
}

function updateApproval(card, entry) {
  const look = remediation(entry.state), waits = entry.state === "waiting";
  tone(card, look);
  const attempts = entry.attempts ? `${counted(entry.attempts, "attempt")}, ` : "";
  const target = entry.target ? ` on ${entry.target}` : "";
  fill(card, {rule: entry.rule, state: look[2], plan: entry.plan, alert: entry.alert, target, attempts});
  moment(card.querySelector("time"), OVER.includes(entry.state) ? entry.changed : entry.created);
  part(card, "due").hidden = !entry.due || waits;
  moment(part(card, "due").querySelector("time"), entry.due);
  card.querySelector(".buttons").hidden = !waits;
  about(card, "approve", `Approve ${entry.rule}${target}`);
  about(card, "reject", `Reject ${entry.rule}${target}`);
}

const named = entry => [entry.rule, entry.target && `on ${entry.target}`].filter(Boolean).join(" ");

when(approvals, "approve", async entry => {
  if (await confirm(`Approve ${named(entry)}?`, entry.plan, "Approve")) {
    await send(`api/v1/remediations/${entry.id}/approve`, {}, `approve ${named(entry)}`, `Approved: ${named(entry)}.`);
  }
});

when(approvals, "reject", async entry => {
  if (await confirm(`Reject ${named(entry)}?`, `This is not done:\n${entry.plan}`, "Reject")) {
    await send(`api/v1/remediations/${entry.id}/reject`, {}, `reject ${named(entry)}`, `Rejected: ${named(entry)}.`);
  }
});
