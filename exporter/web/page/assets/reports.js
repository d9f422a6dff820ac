// The newest reports. A link opens one. Where reading takes a token, which a link cannot send, it is fetched and shown in
// a frame that runs no script and has no origin: whatever a report holds reaches neither this page nor its token.

import * as access from "./access.js";
import {problemOf, refuse} from "./actions.js";
import {open} from "./dialogs.js";
import {byId, fill, fromTemplate, keep, mark, put} from "./dom.js";
import {moment} from "./times.js";
import {bytes} from "./words.js";

const LONGEST_WAIT_MS = 60000;
const section = byId("reports"), dialog = byId("report-dialog");
let isReading = false;  // from the click until the dialog is closed: of a double click the second is none

/** Show the reports. */
export function show({reports}) {
  section.querySelector(".empty").hidden = reports.length > 0;
  section.querySelector("table").hidden = reports.length === 0;
  keep(section.querySelector("tbody"), reports, report => report.task, "report", update);
}

function update(row, report) {
  fill(row, {task: report.task, mode: report.mode, bytes: bytes(report.bytes)});
  moment(row.querySelector("time"), report.at);
  keep(row.querySelector("ul"), report.formats, format => format, "format", (item, format) => {
    const link = item.querySelector("a"), name = `${format.toUpperCase()} report of ${report.task} ${report.mode}`;
    put(link, format.toUpperCase());
    mark(link, "href", `api/v1/reports/${encodeURIComponent(report.id)}?format=${encodeURIComponent(format)}`);
    mark(link, "aria-label", name);
    Object.assign(link.dataset, {name, file: `${report.id}.${format}`, kind: format === "html" ? "text/html" : "text/plain"});
  });
}

async function read(link) {
  const signal = AbortSignal.timeout(LONGEST_WAIT_MS);
  const response = await fetch(link.href, {headers: access.readCredentials(), cache: "no-store", signal});
  if (!response.ok) throw new Error(await problemOf(response));
  const {name, file, kind} = link.dataset;
  const url = URL.createObjectURL(new Blob([await response.arrayBuffer()], {type: `${kind};charset=utf-8`}));
  const frame = fromTemplate("report-frame"), save = dialog.querySelector("a");
  put(byId("report-title"), name);
  mark(frame, "title", name);
  mark(save, "href", url);
  mark(save, "download", file);
  frame.src = url;
  dialog.querySelector("div").replaceChildren(frame);
  await open(dialog);
  frame.remove();
  setTimeout(() => URL.revokeObjectURL(url), LONGEST_WAIT_MS);  // it may be being saved
}

section.addEventListener("click", event => {
  const link = event.target.closest("a[data-file]");
  if (!link || !access.readingTakesToken()) return;
  event.preventDefault();
  if (isReading) return;
  isReading = true;
  read(link).catch(error => refuse(`The report cannot be shown: ${error.message}`)).finally(() => (isReading = false));
});
