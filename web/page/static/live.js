// Keeps the screen current: the server sends the parts that have changed, each under the id of its element.
const screen = document.querySelector("[data-live]");
const offline = document.getElementById("offline");
const RETRY_MS = 5000;

// Updates that arrived for an element while the user was choosing from a list in it; shown when they leave it.
const held = new Map();

// What each element was given last: a stream that begins again sends everything, and most of it is as it was.
const shown = new WeakMap();

function show(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  if (focused?.tagName === "SELECT") {
    held.set(id, html);
    return;
  }
  held.delete(id);
  if (shown.get(element) === html) return;
  shown.set(element, html);
  // What is around it is no longer as it was given.
  for (let outer = element.parentElement; outer; outer = outer.parentElement) shown.delete(outer);
  const typed = [...element.querySelectorAll("input[id]")].filter((one) => one.value !== one.defaultValue);
  const place = focused && { id: focused.id, href: focused.getAttribute("href") };
  element.innerHTML = html;
  for (const { id: name, value } of typed) {
    const input = element.querySelector(`#${CSS.escape(name)}`);
    if (input) input.value = value;
  }
  if (place) {
    // Keep the keyboard focus where it was, or on the first element of the new content that can take it.
    const targets = [...element.querySelectorAll("a[href], button, input:not([type=hidden]), select, [tabindex]")];
    const same = targets.find((one) => (place.id ? one.id === place.id : place.href && one.getAttribute("href") === place.href));
    (same ?? targets[0])?.focus({ preventScroll: true });
  }
  element.dispatchEvent(new CustomEvent("page:changed", { bubbles: true }));
}

document.addEventListener("focusout", () => setTimeout(() => held.forEach((html, id) => show(id, html))));

function say(text) {
  offline.hidden = !text;
  if (offline.textContent !== text) offline.textContent = text;
}

let source = null;
let timer = 0;

function follow() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource(screen.dataset.live);
  source.addEventListener("parts", (event) => {
    say("");
    const { title, ...parts } = JSON.parse(event.data);
    if (title) document.title = title;
    for (const [id, html] of Object.entries(parts)) show(id, html);
  });
  source.addEventListener("away", () => say("Not live: the ledger is not answering. Trying again…"));
  source.addEventListener("ended", () => {
    stop();
    say("No longer live: reload the page.");
  });
  source.addEventListener("error", () => {
    say("Not live: the connection was lost. Trying again…");
    // Browsers give up after an answer that is not a stream, such as the 503 of a server that is restarting.
    if (source?.readyState === EventSource.CLOSED) timer = setTimeout(follow, RETRY_MS);
  });
}

function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

if (screen?.dataset.live) {
  // Browsers allow few connections to one server: a hidden tab gives its own back.
  const whenSeen = () => (document.hidden ? stop() : follow());
  document.addEventListener("visibilitychange", whenSeen);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) whenSeen(); });
  whenSeen();
}
