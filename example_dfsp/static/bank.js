// Follows the progress of a payment, filters lists, and prevents that a form is sent twice. Pages work without it.
"use strict";

for (const place of document.querySelectorAll("[data-poll]")) follow(place);
for (const field of document.querySelectorAll("[data-filter]")) field.addEventListener("input", () => filter(field));
for (const form of document.querySelectorAll("form[data-once]")) form.addEventListener("submit", (event) => sendOnce(form, event));
for (const button of document.querySelectorAll("[data-fill]")) {
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.fill);
    field.value = button.dataset.value;
    field.focus();
  });
}
for (const field of document.querySelectorAll("[data-name]")) field.addEventListener("change", () => showName(field));
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
document.querySelector("[aria-invalid]")?.focus();

// Reloads the page once its state has changed. A progress bar moves in between.
async function follow(place) {
  let pause = 600;
  for (;;) {
    await new Promise((done) => setTimeout(done, pause));
    try {
      const answer = await fetch(place.dataset.poll, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const found = await answer.json();
        if (found.state !== place.dataset.state) return location.reload();
        const bar = place.querySelector("progress");
        if (bar && found.done !== undefined) {
          bar.value = found.done;
          for (const [name, text] of Object.entries(found.texts ?? {})) {
            const shown = place.querySelector(`[data-text="${name}"]`);
            if (shown) shown.textContent = text;
          }
        }
        pause = Math.min(pause * 1.15, 3000);
      } else if (answer.status < 500) {
        return location.reload();
      }
    } catch {
      pause = 3000; // the bank restarts; the payment ends without this page
    }
  }
}

function filter(field) {
  const wanted = field.value.trim().toLowerCase();
  for (const more of document.querySelectorAll("details[data-more]")) more.open = wanted !== "";
  let shown = 0;
  for (const entry of document.querySelectorAll(field.dataset.filter)) {
    entry.hidden = !entry.dataset.name.includes(wanted);
    shown += entry.hidden ? 0 : 1;
  }
  for (const nobody of document.querySelectorAll("[data-nobody]")) nobody.hidden = shown > 0;
  for (const section of document.querySelectorAll("section")) {
    const entries = section.querySelectorAll(field.dataset.filter);
    if (entries.length) section.hidden = wanted !== "" && [...entries].every((entry) => entry.hidden);
  }
}

// Shows the name of the chosen file. The browser's own text for it is in the browser's language, not in the page's.
function showName(field) {
  const place = document.getElementById(field.dataset.name);
  place.dataset.none ??= place.textContent;
  place.textContent = field.files[0]?.name ?? place.dataset.none;
}

function sendOnce(form, event) {
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  const button = event.submitter;
  if (button?.dataset.wait) button.textContent = button.dataset.wait;
  button?.setAttribute("aria-busy", "true");
}
// A page that the browser restores with its back button can be sent again.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
