// Writes times in the reader's zone; the markup keeps UTC, and so does the title.
const styles = {
  full: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
  short: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
  clock: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
};

function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    element.title = element.textContent;
    element.textContent = (styles[element.dataset.style] ?? styles.full).format(new Date(element.dateTime));
  }
}

localise(document);
document.addEventListener("page:changed", (event) => localise(event.target));
