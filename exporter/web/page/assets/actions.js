// What changes something: sent with a token, which is asked for where there is none, and its result told.

import * as access from "./access.js";
import {byId, fromTemplate, put} from "./dom.js";

const LONGEST_WAIT_MS = 30000;
const SHOWN_MS = 12000;

/** POST to a path of the API; tell `done`, or why it was refused. True if it was accepted. */
export async function send(path, body, what, done) {
  const key = randomKey();  // the same for each attempt: it is one wish
  let problem = "";
  for (;;) {
    if ((problem || !access.hasToken()) && !(await access.ask(`To ${what} takes a token with the scope “operate”.`, problem))) {
      return false;
    }
    const answer = await post(path, body, key);
    if (answer.refusesToken) {
      problem = answer.problem;
      if (!access.readingTakesToken()) access.forget();
      continue;
    }
    if (answer.ok) say(done);
    else refuse(`Not done: ${what}. ${answer.problem}`);
    return answer.ok;
  }
}

async function post(path, body, key) {
  const headers = {...access.credentials(), "content-type": "application/json", "idempotency-key": key};
  const signal = AbortSignal.timeout(LONGEST_WAIT_MS);
  try {
    const response = await fetch(path, {method: "POST", headers, body: JSON.stringify(body), signal});
    const problem = response.ok ? "" : await problemOf(response);
    return {ok: response.ok, refusesToken: access.refusesToken(response), problem};
  } catch (error) {
    return {ok: false, refusesToken: false, problem: `The exporter did not answer (${error.message}): whether it was done shows above once it answers.`};
  }
}

/** What a refusal says (problem details, RFC 9457). */
export async function problemOf(response) {
  const text = await response.text();
  try {
    const {title, status, detail} = JSON.parse(text);
    return `${title ?? "Refused"} (${status ?? response.status}): ${detail ?? text}`;
  } catch {
    return `${response.status} ${response.statusText} ${text.slice(0, 500)}`.trim();
  }
}

// Of getRandomValues, as randomUUID is there on secure origins only.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, "0")).join("");

/** Tell what was done; it goes away by itself. */
export function say(text) {
  const message = show(byId("said"), text);
  setTimeout(() => message.remove(), SHOWN_MS);
}

/** Tell why something was not done; it stays until it is dismissed. */
export function refuse(text) {
  show(byId("refused"), text);
}

function show(region, text) {
  const message = fromTemplate("message");
  put(message.querySelector("p"), text);
  message.querySelector("button").addEventListener("click", () => message.remove());
  region.replaceChildren(message);
  return message;
}

/** Say something to those who hear the page; nothing is to be seen of it. */
export function announce(text) {
  put(byId("news"), text);
}
