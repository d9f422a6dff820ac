// The newest reports. A link opens one; where reading takes a token, which a link cannot send, it is saved as a file:
// shown from this page it would be bound by this page's policy and have no style.

import * as access from "./access.js";
import {problemOf, refuse, say} from "./actions.js";
import {byId, fill, keep, mark, put} from "./dom.js";
import {moment} from "./times.js";
import {bytes} from "./words.js";

const section = byId("reports");

/** Show the reports. */
export function show({reports}) {
  section.querySelector(".empty").hidden = reports.length > 0;
  section.querySelector("table").hidden = reports.length === 0;
  byId("reports-saved").hidden = !access.readingTakesToken() || reports.length === 0;
  keep(section.querySelector("tbody"), reports, report => report.id, "report", update);
}

function update(row, report) {
  fill(row, {task: report.task, mode: report.mode, bytes: bytes(report.bytes)});
  moment(row.querySelector("time"), report.at);
  keep(row.querySelector("ul"), report.formats, format => format, "format", (item, format) => {
    const link = item.querySelector("a");
    put(link, format.toUpperCase());
    mark(link, "href", `api/v1/reports/${encodeURIComponent(report.id)}?format=${encodeURIComponent(format)}`);
    mark(link, "aria-label", `${format.toUpperCase()} report of ${report.task} ${report.mode}`);
    link.dataset.file = `${report.task}-${report.mode}-${report.at.slice(0, 10)}.${format}`;
  });
}

async function save(link) {
  const response = await fetch(link.href, {headers: access.readCredentials()});
  if (!response.ok) throw new Error(await problemOf(response));
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), {href: url, download: link.dataset.file}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  say(`Saved: ${link.dataset.file}. It opens from the disk.`);
}

section.addEventListener("click", event => {
  const link = event.target.closest("a[data-file]");
  if (!link || !access.readingTakesToken()) return;
  event.preventDefault();
  save(link).catch(error => refuse(`The report was not saved: ${error.message}`));
});
