// Every button of ours, wherever it stands: what the page can do by itself is done here, the rest goes to the server as
// the button's name and value. Also gives names to those of Gradio's buttons that have none.

const small = window.matchMedia("(max-width: 900px)"); // where the panels lie over the chat; as in the style sheet
const close = (...names) => document.body.classList.remove(...names.map((name) => `open-${name}`));

if (!small.matches) document.body.classList.add("open-side");

function copy(button) {
  const words = [...button.closest(".message-row, .bot-row, .message").querySelectorAll(".prose, .md")]
    .filter((part) => !part.querySelector("figure, .row, .note"))
    .map((part) => part.innerText.trim());
  to_clipboard(words.join("\n").trim(), button);
}

function copy_link(button) {
  to_clipboard(new URL(button.value, document.baseURI).href, button);
}

function to_clipboard(text, button) {
  navigator.clipboard?.writeText(text);
  button.classList.add("pressed");
  setTimeout(() => button.classList.remove("pressed"), 1200);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.do");
  if (!button) {
    if (small.matches && event.target.closest("#middle")) close("side", "settings");
    return;
  }
  if (button.name === "toggle") return document.body.classList.toggle(`open-${button.value}`);
  if (button.name === "copy") return copy(button);
  if (button.name === "copy-link") return copy_link(button);
  if (button.dataset.here !== undefined) return; // another script's
  if (button.dataset.sure && !window.confirm(button.dataset.sure)) return;
  if (small.matches && button.closest("#side") && button.name !== "share") close("side");
  if (button.name === "edit" || button.name === "use") document.querySelector("#box textarea")?.focus();
  trigger("click", { name: button.name, value: button.value });
});

function name_nameless() {
  for (const button of document.querySelectorAll("button:not([aria-label]), button[aria-label='']")) {
    if (!button.textContent.trim() && !button.title) {
      const kind = button.dataset.testid || button.className.split(" ").find((word) => word.endsWith("-button"));
      button.setAttribute("aria-label", (kind || "button").replaceAll("-", " "));
    }
  }
}

let soon = 0; // changes come in showers, so one look serves many of them

function look_soon() {
  soon ||= setTimeout(() => {
    soon = 0;
    name_nameless();
  }, 200);
}

name_nameless();
new MutationObserver(look_soon).observe(document.body, { childList: true, subtree: true });
