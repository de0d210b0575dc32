// Sends a form only once and shows that it is busy; accepts a file dropped anywhere on the form.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (button?.dataset.busy) {
      button.setAttribute("aria-disabled", "true");
      button.textContent = button.dataset.busy;
    }
  });
}
// After the back button, the form can be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

for (const form of document.querySelectorAll("form[data-upload]")) {
  const file = form.querySelector("input[type=file]");
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    file.files = event.dataTransfer.files;
    file.focus();
  });
}

// A file that the server would refuse is refused before it is sent.
for (const file of document.querySelectorAll("input[type=file][data-max-mb]")) {
  file.addEventListener("change", () => {
    const most = Number(file.dataset.maxMb);
    const size = [...file.files].reduce((sum, one) => sum + one.size, 0);
    file.setCustomValidity(size > most * 1e6 ? `The file is larger than ${most} MB.` : "");
    file.reportValidity();
  });
}
