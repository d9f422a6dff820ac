// The scores, each with what was taken off.

import {byId, fill, keep, mark, part} from "./dom.js";
import {counted} from "./words.js";

const section = byId("scores");

/** Show the scores. */
export function show({scores}) {
  section.querySelector(".empty").hidden = scores.length > 0;
  keep(section.querySelector(".scores"), scores, score => score.name, "score", update);
}

function update(card, score) {
  const known = score.value !== null;
  mark(card, "data-tone", known ? null : "unknown");
  fill(card, {
    name: score.name,
    value: known ? number(score.value) : "Not known",
    of: known ? "of 100" : "",
    note: note(score, known),
  });
  const meter = card.querySelector("meter");
  meter.hidden = !known;
  meter.value = score.value ?? 0;
  mark(meter, "aria-label", `${score.name} score`);
  keep(card.querySelector("ul"), score.deductions, deduction => deduction.reason, "deduction", (row, deduction) => {
    fill(row, {points: `−${number(deduction.points)}`, reason: deduction.reason.replaceAll("_", " ")});
  });
  part(card, "note").hidden = known && score.deductions.length > 0;
}

function note(score, known) {
  if (!known) return `${score.task} has not run, or not lately.`;
  return score.deductions.length ? counted(score.deductions.length, "deduction") : "Nothing was taken off.";
}

const number = value => String(Number(value.toFixed(1)));
