// The plain answer at the top, and what to do about it.

import {say} from "./actions.js";
import {about, byId, fill, keep, longList, mark, number, part, put, putWithCode, when} from "./dom.js";
import {moment} from "./times.js";
import {TODO_KINDS, VERDICTS, severity, tone} from "./words.js";

const SHOWN = 7, STEP = 50;

const [first, rest] = document.querySelectorAll("#todo ol");
const more = byId("todo").querySelector("details");
const key = item => `${item.kind} ${item.subject} ${item.what}`;
const others = longList(rest, STEP, key, "todo-item", update);

/** Show whether anything is wrong. */
export function show(status) {
  answer(status.verdict, VERDICTS[status.verdict]?.[2] ?? status.verdict, status.answer);
  put(byId("host"), status.host);
  todo(status.to_do);
}

/** Show an answer: a verdict of the exporter's, or that there is none; `short` is the word in the bar at the top. */
export function answer(verdict, word, sentence, short = word) {
  const [name, sign] = VERDICTS[verdict] ?? VERDICTS.unknown;
  mark(document.documentElement, "data-verdict", verdict);
  mark(byId("verdict"), "data-tone", name);
  mark(byId("pill"), "data-tone", name);
  put(byId("verdict").querySelector(".shape"), sign);
  put(byId("pill").querySelector(".sign"), sign);
  put(byId("pill").querySelector(".word"), short);
  put(byId("answer-word"), word);
  put(byId("answer"), sentence);
  const host = byId("host").textContent;
  document.title = `${sign} ${word}${host ? ` · ${host}` : ""}`;
  const icon = `assets/icon-${verdict in VERDICTS ? verdict : "unknown"}.svg`;
  mark(document.querySelector("link[rel=icon]"), "href", icon);
}

function todo(items) {
  byId("todo").hidden = items.length === 0;
  put(byId("todo").querySelector(".count"), number(items.length));
  keep(first, items.slice(0, SHOWN), key, "todo-item", update);
  others.show(items.slice(SHOWN));
  more.hidden = items.length <= SHOWN;
  put(more.querySelector("summary"), `${number(items.length - SHOWN)} more`);
}

function update(row, item) {
  tone(row, severity(item.severity));
  const kind = TODO_KINDS[item.kind] ?? item.kind;
  const subject = item.what.includes(item.subject) ? "" : item.subject;  // or it is said twice
  fill(row, {severity: item.severity, subject, what: item.what, command: item.command, kind});
  putWithCode(part(row, "remedy"), item.remedy);
  part(row, "remedy").hidden = !item.remedy || item.remedy === item.command;
  row.querySelector(".command").hidden = !item.command;
  about(row, "copy", `Copy ${item.command}`);
  part(row, "since").hidden = !item.since;
  moment(part(row, "since").querySelector("time"), item.since);
}

async function copy(item, row) {
  const code = part(row, "command");
  getSelection().selectAllChildren(code);  // where copying is refused, Ctrl+C does it
  try {
    await navigator.clipboard.writeText(item.command);
    say(`Copied: ${item.command}`);
  } catch {
    say("The browser lets nothing be copied from a page without TLS: the command is selected, Ctrl+C copies it.");
  }
}

when(byId("todo"), "copy", copy);
