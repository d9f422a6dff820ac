// The tasks: what each is doing, how its last run went, when the next is; started and stopped from here.

import {send} from "./actions.js";
import {confirm, open} from "./dialogs.js";
import {about, byId, facts, fill, fromTemplate, keep, mark, part, put, when} from "./dom.js";
import {draw, trend} from "./spark.js";
import {duration, moment} from "./times.js";
import {counted, outcome, tone} from "./words.js";

const section = byId("tasks");
const body = section.querySelector("tbody");
let agents = [];

/** Show the tasks. */
export function show(status) {
  agents = status.agents;
  const running = status.tasks.filter(task => task.running).length;
  put(section.querySelector(".count"), `${status.tasks.length}${running ? `, ${running} running` : ""}`);
  keep(body, status.tasks, task => task.task, "task", update);
}

function update(row, task) {
  fill(row, {name: task.task, summary: task.summary, of: ` of ${task.task}`, cadences: task.cadences.join(", ")});
  state(row, task);
  const run = row.querySelector(".run"), next = row.querySelector(".next");
  moment(run.querySelector("time"), task.running?.since ?? task.last_run?.finished);
  moment(next.querySelector("time"), task.next_run);
  put(part(row, "next"), task.next_run ? "" : task.enabled ? "not scheduled" : "switched off");
  row.querySelector("details").hidden = !task.last_run;
  facts(row.querySelector("dl"), details(task));
  draw(row.querySelector("svg"), task.durations);
  fill(row, {last: task.durations.length ? duration(task.durations.at(-1)) : "", trend: trend(task.durations)});
  buttons(row, task);
}

function state(row, {running, last_run: last, stale, failing}) {
  const run = row.querySelector(".run"), bar = row.querySelector("progress");
  mark(row, "data-running", running ? "yes" : null);
  mark(row, "data-failing", failing && !running ? "yes" : null);
  tone(run, running ? ["running", "▶"] : last ? outcome(last.outcome) : ["unknown", "?"]);
  bar.hidden = !running;
  const flags = [stale && "too old to be true", running && failing && "its last run failed"].filter(Boolean);
  fill(row, {
    state: running ? "Running" : last ? outcome(last.outcome)[2] : "Never ran",
    what: running ? underWay(running) : last ? last.error || [last.status, last.summary].filter(Boolean).join(": ") || "It said nothing." : "",
    flags: flags.join(", "),
  });
  if (running?.ratio != null) bar.value = running.ratio;
  else bar.removeAttribute("value");
  mark(bar, "aria-label", `Progress of ${row.item.task}`);
}

function underWay({done, total, message}) {
  const steps = total ? `${done} of ${total}` : "";
  return [steps, message].filter(Boolean).join(": ") || "It has not said how far it is.";
}

function details(task) {
  const last = task.last_run;
  const missed = task.missed_total ? counted(task.missed_total, "run") + " in all" : "";
  if (!last) return [];
  return [
    ["Error", last.error],
    ["What came of it", last.summary],
    ["Said", last.status],
    ["Findings", last.findings || ""],
    ["Mode", [last.mode, last.target].filter(Boolean).join(", ")],
    ["Took", duration(last.duration_seconds)],
    ["Asked for by", [last.trigger, last.why].filter(Boolean).join(": ")],
    ["Last success", task.last_success ? new Date(task.last_success).toLocaleString("en-GB") : "never"],
    ["Missed", missed],
    ["Run", last.run_id],
  ];
}

function buttons(row, {task, running}) {
  about(row, "start", `Start ${task}`);
  about(row, "stop", `Stop ${task}`);
  const stop = row.querySelector("[data-do=stop]");
  // Not `disabled`: the focus would be lost when a run ends.
  mark(stop, "aria-disabled", String(!running?.ours));
  mark(stop, "title", running && !running.ours ? "It was started elsewhere (by command or cron) and is stopped there." : null);
}

/** Ask in which mode and on what; then start it. */
async function start({task, summary, modes, takes_target: takes, needs_target: needs}) {
  const dialog = byId("start-dialog"), target = byId("start-target"), field = target.querySelector("input");
  put(byId("start-title"), `Start ${task}`);
  put(byId("start-text"), `${summary}.`);
  byId("start-modes").replaceChildren(...modes.map(modeChoice));
  byId("targets").replaceChildren(...(task === "agent-monitor" ? agents : []).map(({agent}) => new Option(agent, agent)));
  field.value = "";
  const adjust = () => {
    field.required = needs.includes(chosen(dialog));
    target.hidden = !takes && !field.required;
    put(target.querySelector("span"), field.required ? "This mode is always about one thing." : "Empty: everything.");
  };
  dialog.onchange = adjust;
  adjust();
  if (!(await open(dialog, dialog.querySelector("input:checked")))) return;
  const wish = {mode: chosen(dialog), ...(target.hidden || !field.value.trim() ? {} : {target: field.value.trim()})};
  const named = [task, wish.mode, wish.target].filter(Boolean).join(" ");
  await send(`api/v1/tasks/${encodeURIComponent(task)}/start`, wish, `start ${named}`, `The start of ${named} was asked for.`);
}

const chosen = dialog => dialog.querySelector("input:checked")?.value ?? "";

function modeChoice(mode, index) {
  const label = fromTemplate("mode"), input = label.querySelector("input");
  input.value = mode;
  input.checked = index === 0;
  put(label.querySelector("span"), index === 0 ? `${mode} (as usual)` : mode);
  return label;
}

async function stop({task}) {
  if (await confirm(`Stop ${task}?`, "The run under way is ended. What it has done so far stays done.", "Stop it")) {
    await send(`api/v1/tasks/${encodeURIComponent(task)}/stop`, {}, `stop ${task}`, `The end of ${task} was asked for.`);
  }
}

when(body, "start", start);
when(body, "stop", stop);
