// How long the last runs took, as a line.

import {mark} from "./dom.js";
import {duration} from "./times.js";
import {counted} from "./words.js";

const WIDTH = 100, HEIGHT = 24, MARGIN = 3;

/** Draw durations (seconds, oldest first) into an <svg>. What it shows stands beside it in words (`trend`). */
export function draw(svg, seconds) {
  svg.toggleAttribute("hidden", seconds.length < 2);
  if (seconds.length > 1) mark(svg.firstElementChild, "points", points(seconds));
}

// From zero up: a line that fills its box whatever it shows makes much of little.
function points(seconds) {
  const most = Math.max(...seconds) || 1;
  const step = (WIDTH - 2 * MARGIN) / (seconds.length - 1);
  const y = value => HEIGHT - MARGIN - (value / most) * (HEIGHT - 2 * MARGIN);
  return seconds.map((value, index) => `${(MARGIN + index * step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}

/** The same in words: from least to most. */
export function trend(seconds) {
  if (seconds.length < 2) return "";
  return `${counted(seconds.length, "run")}: ${duration(Math.min(...seconds))} to ${duration(Math.max(...seconds))}`;
}
