// The stream of events (GET api/v1/events), read by fetch, as EventSource sends no token. It is taken for lost as soon as
// nothing comes for longer than the exporter ever keeps quiet, or the exporter cannot say any more how things are: its
// disk may be frozen while its connections live.

import * as access from "./access.js";
import {problemOf} from "./actions.js";

const SILENCE_SECONDS = 40;  // there is a comment every 15
const LOOK_SECONDS = 60;
const LONGEST_LOOK_SECONDS = 20;
const LONGEST_PAUSE_SECONDS = 30;

let heardAt = stamp();
let toldAt = null;
let retryAt = 0;
let failures = 0;
let abort = new AbortController();
let wake = () => {};
let atOnce = false;

// Two clocks: the one stands still while the machine sleeps, the other can be set back.
function stamp() {
  return {wall: Date.now(), steady: performance.now()};
}

const secondsSince = at => Math.max(Date.now() - at.wall, performance.now() - at.steady) / 1000;

/** Seconds since the exporter was last heard. */
export const silentSeconds = () => secondsSince(heardAt);
/** Seconds until the next attempt. */
export const retrySeconds = () => Math.max(0, (retryAt - Date.now()) / 1000);

/** End the pause, or an attempt that takes its time, and connect now. */
export function retry() {
  failures = 0;
  atOnce = true;
  abort.abort();
  wake();
}

/** Give up a connection that keeps quiet for too long; ask for the status if none was told for long. Called each second. */
export function watch(on) {
  if (secondsSince(heardAt) > SILENCE_SECONDS) abort.abort(new Error(`nothing was heard for ${SILENCE_SECONDS} s`));
  if (toldAt && secondsSince(toldAt) > LOOK_SECONDS) look(on, abort);
}

async function look(on, connection) {
  toldAt = null;
  const signal = AbortSignal.any([connection.signal, AbortSignal.timeout(LONGEST_LOOK_SECONDS * 1000)]);
  try {
    const response = await fetch("api/v1/status", {headers: access.readCredentials(), cache: "no-store", signal});
    if (!response.ok) throw new Error(await problemOf(response));
    const status = await response.json();
    if (connection.signal.aborted) return;
    on.event("status", status);
    toldAt = stamp();
  } catch (error) {
    connection.abort(new Error(`the exporter cannot say how things are (${error.message})`));
  }
}

/** Follow the events for ever. `on.event(name, data)`, `on.lost(why)`, and `on.locked(problem)` where a token is needed. */
export async function follow(on) {
  for (;;) {
    const end = await once(on);
    if (end.locked) await on.locked(end.locked);
    else if (!atOnce) {
      on.lost(end.why);
      await pause(end.seconds);
    }
    atOnce = false;
  }
}

async function once(on) {
  abort = new AbortController();
  heardAt = stamp();  // the new attempt has its own time to be heard
  try {
    const response = await fetch("api/v1/events", {headers: access.readCredentials(), cache: "no-store", signal: abort.signal})
      .catch(named("the exporter cannot be reached"));
    if (access.refusesToken(response)) return {locked: await problemOf(response)};
    if (!response.ok) return {why: await problemOf(response), seconds: Number(response.headers.get("retry-after")) || 0};
    await read(response.body, on);
    return {why: "the exporter ended the connection"};
  } catch (error) {
    return {why: error.message || String(error)};
  } finally {
    toldAt = null;
    abort.abort();
  }
}

async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let line = [], block = [];
  for (;;) {
    const {done, value} = await reader.read().catch(named("the connection broke"));
    if (done) return;
    heardAt = stamp();
    // A line may come in a hundred pieces: they are put together once, when its end is there.
    const [first, ...others] = value.split("\n");
    line.push(first);
    for (const next of others) {
      const text = line.join("");
      line = [next];
      if (text && text !== "\r") block.push(text.endsWith("\r") ? text.slice(0, -1) : text);
      else block = tell(block, on);
    }
  }
}

/** Say in our words what browsers say each in theirs: to them it is a TypeError. */
const named = words => error => {
  throw error instanceof TypeError ? new Error(words) : error;
};

/** One event as https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream has it. */
function tell(lines, on) {
  let name = "message";
  const data = [];
  for (const line of lines) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  if (!data.length) return [];
  on.event(name, JSON.parse(data.join("\n")));
  if (name === "status") toldAt = stamp();
  failures = 0;  // only now: what cannot be shown is no better than what does not come
  return [];
}

/** Wait before the next attempt, each time longer; not all pages at the same moment. */
function pause(leastSeconds = 0) {
  const seconds = Math.max(leastSeconds, Math.min(LONGEST_PAUSE_SECONDS, 2 ** failures) * (0.75 + Math.random() / 2));
  failures += 1;
  retryAt = Date.now() + seconds * 1000;
  return new Promise(resolve => {
    const timer = setTimeout(resolve, seconds * 1000);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
