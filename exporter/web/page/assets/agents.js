// The agents: how each was when it was last looked at, the ill ones first; narrowed by a text where there are many.

import {send} from "./actions.js";
import {confirm} from "./dialogs.js";
import {about, byId, fill, longList, number, put, when} from "./dom.js";
import {agent as look, counted, share, tone} from "./words.js";

const section = byId("agents");
const list = section.querySelector("ul");
const text = byId("agents-text");
const FEW = 20, SHOWN = 60;
const cards = longList(list, SHOWN, agent => agent.agent, "agent", update);
let agents = [];

/** Show the agents. */
export function show({agents: told, agent_uptime_percent: uptime}) {
  const ill = told.filter(agent => !agent.healthy), well = told.length - ill.length;
  agents = [...ill, ...told.filter(agent => agent.healthy)];
  const mean = uptime === null ? "" : `, up ${share(uptime / 100)} of the last 24 h`;
  put(section.querySelector(".count"), agents.length ? `${number(well)} of ${number(agents.length)} healthy${mean}` : "");
  section.querySelector(".empty").hidden = agents.length > 0;
  section.querySelector(".filter").hidden = agents.length <= FEW && !text.value;  // what narrows them must be seen
  narrow();
}

function narrow() {
  const wanted = text.value.trim().toLowerCase();
  const found = agents.filter(({agent, state}) => !wanted || agent.toLowerCase().includes(wanted) || state === wanted);
  put(byId("agents-shown"), wanted ? `${number(found.length)} of ${number(agents.length)} match` : "");
  cards.show(found);
}

function update(card, agent) {
  const [name, sign] = look(agent.state);
  tone(card, agent.healthy || name !== "good" ? [name, sign] : ["unknown", "?"]);
  const uptime = agent.uptime_24h_ratio === null ? "uptime not known" : `up ${share(agent.uptime_24h_ratio)} in 24\u00a0h`;
  fill(card, {name: agent.agent, state: agent.state, uptime, past: past(agent)});
  card.querySelector("[data-do=restart]").hidden = agent.state === "missing";  // there is no container to restart
  card.querySelector("[data-do=release]").hidden = !agent.quarantined;
  about(card, "restart", `Restart ${agent.agent}`);
  about(card, "release", `Release ${agent.agent}`);
}

function past(agent) {
  const said = [];
  if (agent.consecutive_failures) said.push(`${counted(agent.consecutive_failures, "failure")} in a row`);
  if (agent.restarts_total) said.push(counted(agent.restarts_total, "restart"));
  if (agent.quarantined && agent.state !== "quarantined") said.push("quarantined");
  return said.join(", ") || "no restarts";
}

when(list, "restart", async ({agent}) => {
  if (await confirm(`Restart ${agent}?`, "Whatever it is doing is cut off. It is looked at again right afterwards.", "Restart")) {
    await send(`api/v1/agents/${encodeURIComponent(agent)}/restart`, {}, `restart ${agent}`, `The restart of ${agent} was asked for.`);
  }
});

when(list, "release", async ({agent}) => {
  const text = "Its quarantine ends, it has all its restarts again, and it is looked at at once.";
  if (await confirm(`Release ${agent} from quarantine?`, text, "Release")) {
    await send(`api/v1/agents/${encodeURIComponent(agent)}/release`, {}, `release ${agent}`, `The release of ${agent} was asked for.`);
  }
});

text.addEventListener("input", () => {
  cards.restart();
  narrow();
});
