// The reader's token, asked for once. It lives in this variable alone: not in storage, cookies or addresses.

import {byId, put} from "./dom.js";
import {open} from "./dialogs.js";

let token = "";
let readsByToken = false;

/** What a request that operates is sent with. */
export const credentials = () => (token ? {authorization: `Bearer ${token}`} : {});

/** What a request that reads is sent with: nothing, where that is enough. Behind a web configuration the browser's own
 *  user and password serve, and a token would take their place. */
export const readCredentials = () => (readsByToken ? credentials() : {});

export const hasToken = () => token !== "";
export const readingTakesToken = () => readsByToken;

/** Whether an answer wants another token than what it was asked with. A 429 may be about requests, whoever sends them. */
export const refusesToken = ({status, headers}) =>
  status === 401 || status === 403 || (status === 429 && headers.get("www-authenticate") === "Bearer");

/** Note that reading was refused without a token. */
export function demandForReading() {
  readsByToken = true;
}

/** Forget the token. */
export function forget() {
  token = "";
  show();
}

/** Ask for a token; false if the reader gave none. `problem` is why the last one did not serve. */
export async function ask(why, problem = "") {
  put(byId("token-why"), why);
  put(byId("token-problem"), problem);
  byId("token-problem").hidden = !problem;
  const field = byId("token-field");
  field.value = "";
  const given = await open(byId("token-dialog"), field);
  const text = field.value.trim();
  field.value = "";
  if (!given || !text) return false;
  // What is no text of a header can be sent to nobody.
  if (!/^[\x21-\x7e]+$/.test(text)) return ask(why, "That is no token: a token has only letters, digits, - and _.");
  token = text;
  show();
  return true;
}

function show() {
  put(byId("token-button"), token ? "Forget token" : "Enter token");
}
