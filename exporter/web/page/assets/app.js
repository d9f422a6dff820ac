// Ties the parts together: what comes from the exporter is shown, and how old it is, whatever happens.

import * as access from "./access.js";
import {announce, refuse, say} from "./actions.js";
import * as agents from "./agents.js";
import * as alerts from "./alerts.js";
import {byId, mark, put} from "./dom.js";
import * as findings from "./findings.js";
import * as live from "./live.js";
import * as reports from "./reports.js";
import * as scores from "./scores.js";
import * as tasks from "./tasks.js";
import {duration, setClock, tick, zone} from "./times.js";
import * as verdict from "./verdict.js";
import {VERDICTS, outcome} from "./words.js";

const hears = {event: receive, lost: lose, locked: lock};
const parts = [verdict, scores, agents, tasks, findings, alerts, reports];
const version = document.querySelector("meta[name=version]").content;
const LAST_WORD_MS = 2000;
const root = document.documentElement;
let status = null;

function receive(name, data) {
  if (name === "status") {
    if (status?.verdict !== data.verdict) announce(`${VERDICTS[data.verdict]?.[2]}. ${data.answer}`);
    status = data;
    setClock(data.at);
    shownAt = Date.now();
    show();
  } else if (name === "progress") {
    progress(data.task, data.running);
  } else if (name === "run") {
    change(data.task, task => ({...task, running: null, last_run: data}));
    if (data.outcome !== "ok") announce(`${data.task}: ${outcome(data.outcome)[2]}. ${data.error}`);
  }
}

// The end of a run is told just before what came of it: shown at once, it would look like the run before.
function progress(name, running) {
  if (running) return change(name, task => ({...task, running}));
  const then = status?.tasks.find(task => task.task === name)?.running;
  setTimeout(() => change(name, task => (task.running === then ? {...task, running: null} : task)), LAST_WORD_MS);
}

function change(name, changed) {
  if (!status) return;
  status.tasks = status.tasks.map(task => (task.task === name ? changed(task) : task));
  tasks.show(status);
}

function show() {
  connection("live", "Live");
  byId("lost").hidden = byId("unlock").hidden = true;
  byId("content").hidden = false;
  byId("outdated").hidden = status.version === version;
  put(byId("place"), `, ${status.base_dir}`);
  for (const part of parts) part.show(status);
}

function connection(state, word) {
  if (root.dataset.live === "lost" && state === "live") announce("The connection is back.");
  mark(root, "data-live", state);
  put(byId("link").querySelector(".word"), word);
}

// Nothing that is not known to be so now may look well: the last answer stays as what it was.
function lose(why) {
  if (root.dataset.live !== "lost") announce("The connection to the exporter is lost.");
  connection("lost", "Connection lost");
  const was = status ? `The last answer was “${VERDICTS[status.verdict]?.[2] ?? status.verdict}”. ` : "";
  verdict.answer("unknown", "Not known: connection lost", `${was}How things are now cannot be said from here.`, "Not known");
  byId("lost").dataset.why = why;
  byId("lost").hidden = false;
  age();
}

async function lock(problem) {
  const first = !access.readingTakesToken(), wrong = !first && access.hasToken();
  access.demandForReading();
  if (first && access.hasToken()) return;  // it was given to operate, and may serve to read as well
  access.forget();
  connection("locked", "Locked");
  verdict.answer("unknown", "Locked", "Reading from here takes a token.");
  byId("content").hidden = byId("lost").hidden = true;
  byId("unlock").hidden = false;
  let given = false;
  while (!given) {
    given = await access.ask("To read takes a token with the scope “read”; one with “operate” may change things as well.", wrong ? problem : "");
    if (!given) await pressed(byId("unlock").querySelector("button"));
  }
}

const pressed = button => new Promise(resolve => button.addEventListener("click", resolve, {once: true}));

// How old what is shown is, each second.
function age() {
  const silent = Math.floor(live.silentSeconds()), state = root.dataset.live;
  put(byId("link").querySelector(".age"), state === "live" ? `heard ${silent} s ago` : "");
  if (state !== "lost") return;
  const old = status ? `What is shown below was so ${duration(Math.max(1, Math.round(sinceShown())))} ago. ` : "";
  put(byId("lost-what"), `${old}Reason: ${byId("lost").dataset.why}.`);
  const next = Math.ceil(live.retrySeconds());
  put(byId("lost-next"), next ? `Next attempt in ${next} s.` : "Connecting …");
}

// By the reader's own clock, as the exporter's is not heard of now.
let shownAt = 0;
const sinceShown = () => (Date.now() - shownAt) / 1000;

function beat() {
  live.watch(hears);
  if (root.dataset.live === "live") shownAt = Date.now() - live.silentSeconds() * 1000;
  tick();
  age();
  // The style sheet covers the page by itself unless this script keeps it from doing so.
  for (const animation of document.querySelector(".veil").getAnimations()) animation.currentTime = 0;
}

async function tokenButton() {
  if (!access.hasToken()) return access.ask("With a token of the scope “operate” this page starts, stops and approves.");
  if (access.readingTakesToken()) return location.reload();  // what was read by it goes with it
  access.forget();
  say("The token is forgotten.");
}

addEventListener("error", event => refuse(`This page has a fault: ${event.message}`));
addEventListener("unhandledrejection", event => refuse(`This page has a fault: ${event.reason?.message ?? event.reason}`));
addEventListener("online", () => root.dataset.live === "lost" && live.retry());
byId("retry").addEventListener("click", live.retry);
byId("token-button").addEventListener("click", tokenButton);
// Of no use without this script, and the veil would cover what the page is without it.
byId("token-button").hidden = document.querySelector(".veil").hidden = false;
put(byId("zone"), `, times in ${zone()}`);
setInterval(beat, 1000);
live.follow(hears);
