// Fills what index.html has templates of. Every text goes in as text: names and messages come from containers, databases
// and alerts. What is there is kept and changed in place, so that focus, scroll position and open details stay.

// As in jobs/pages/texts.py, and tabs.
const UNSEEN = new RegExp(
  "[\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ud800-\\udfff\\ufdd0-\\ufdef\\ufeff\\uffa0\\ufff9-\\ufffb\\ufffe\\uffff" +
  "\\u{e0000}-\\u{e007f}]", "gu");
const LONGEST = 4000;
const ADDRESS = /(https?:\/\/[^\s"'<>()`]*[\w/])/;

export const byId = id => document.getElementById(id);

/** A text as it can be seen: characters that hide, or turn the direction of writing, as escapes. */
export function visible(text) {
  let shown = String(text ?? "").replace(UNSEEN, escape);
  if (shown.length > LONGEST) shown = shown.slice(0, LONGEST) + `… (${shown.length - LONGEST} characters more)`;
  return shown;
}

function escape(character) {
  const code = character.codePointAt(0).toString(16);
  return code.length > 4 ? "\\U" + code.padStart(8, "0") : "\\u" + code.padStart(4, "0");
}

/** Put a text into an element, unless it is there: a selection in it is lost otherwise. */
export function put(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Put a text in which commands stand between backticks and addresses of pages may be followed. */
export function putWithCode(element, text) {
  if (element.source === text) return;
  element.source = text;
  element.replaceChildren(...visible(text).split("`").flatMap((piece, index, pieces) => {
    if (index % 2 === 0) return piece.split(ADDRESS).map(withLink);
    return [index === pieces.length - 1 ? "`" + piece : made("code", piece)];
  }));
}

/** What `split` gives by turns: text, an address, text … */
const withLink = (piece, index) =>
  index % 2 ? Object.assign(made("a", piece), {href: piece, target: "_blank", rel: "noopener noreferrer"}) : piece;

const made = (name, text) => Object.assign(document.createElement(name), {textContent: text});

/** Put texts into the parts of an element, by their `data-part`. */
export function fill(element, texts) {
  for (const [name, text] of Object.entries(texts)) put(part(element, name), text);
}

export const part = (element, name) => element.querySelector(`[data-part=${name}]`);

/** Set an attribute, or take it away where the value is null. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export const fromTemplate = id => byId(id).content.firstElementChild.cloneNode(true);

/** Make the children of `parent` those of `items`, in their order: `key` names one, `update` fills it. */
export function keep(parent, items, key, template, update) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const children = childrenFor(parent, items.map(key), template);
  let place = parent.firstElementChild;
  children.forEach((child, index) => {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    child.item = items[index];
    update(child, items[index]);
  });
  if (focused && document.activeElement !== focused) refocus(parent, focused);
}

function childrenFor(parent, names, template) {
  const before = new Map([...parent.children].map(child => [child.dataset.key, child]));
  const children = names.map(name => {
    const child = before.get(String(name)) ?? fromTemplate(template);
    before.delete(String(name));
    child.dataset.key = name;
    return child;
  });
  for (const gone of before.values()) gone.remove();
  return children;
}

/** Whoever is led by the focus stays where he was, or near it where that is gone. */
function refocus(parent, focused) {
  const target = focused.isConnected && !focused.closest("[hidden]") ? focused : parent.closest("section")?.querySelector("h2");
  target?.focus({preventScroll: true});
}

/** A list of which the first are shown, and more when asked: no browser bears ten thousand at once, and no reader.
 *  `again` shows it when more are wanted. */
export function longList(parent, step, key, template, update, again = () => show(items, total)) {
  const rest = fromTemplate("rest"), button = rest.querySelector("button");
  let most = step, items = [], total = 0;
  (parent.closest("table") ?? parent).after(rest);

  /** Show the items, which may be the first of a `total`. */
  function show(all, count = all.length) {
    [items, total] = [all, count];
    const shown = items.slice(0, most);
    keep(parent, shown, key, template, update);
    if (shown.length === total && rest.contains(document.activeElement)) refocus(parent, button);
    rest.hidden = shown.length === total;
    fill(rest, {left: `The first ${number(shown.length)} of ${number(total)} are shown.`});
    put(button, `Show ${number(Math.min(step, total - shown.length))} more`);
    mark(button, "aria-label", `${button.textContent} of ${parent.closest("section").querySelector("h2").firstChild.data.trim()}`);
  }

  button.addEventListener("click", () => {
    most += step;
    again();
  });
  return {show, restart: () => (most = step), hasGrown: () => most > step};
}

const NUMBER = new Intl.NumberFormat("en-GB");

/** A number for people: 12,345. */
export const number = value => NUMBER.format(value);

/** Call `action` with the item of the button's row when a button with this `data-do` below `parent` is pressed. */
export function when(parent, name, action) {
  parent.addEventListener("click", event => {
    const button = event.target.closest(`[data-do=${name}]`);
    const row = button?.closest("[data-key]");
    if (row && button.getAttribute("aria-disabled") !== "true") action(row.item, row, button);
  });
}

/** What a button is about, for those who hear it without its row. */
export function about(row, name, label) {
  mark(row.querySelector(`[data-do=${name}]`), "aria-label", visible(label));
}

/** The pairs of a list of facts; those without a value are left out. */
export function facts(list, pairs) {
  keep(list, pairs.filter(([, value]) => value !== null && value !== ""), ([name]) => name, "fact", (row, [name, value]) => {
    fill(row, {name, value});
  });
}
