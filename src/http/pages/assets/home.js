// The start page with JavaScript: a link does not leave this device, a QR code is read here, addresses are proposed while typing.

import { canonicalLink } from "./link.js";

const form = document.querySelector("form.ask");
const field = form.elements.q;
const english = document.documentElement.lang === "en";
const to = (path) => (english ? `${path}${path.includes("?") ? "&" : "?"}lang=en` : path);

/** What is a link, or could be the token of one, is never sent (`home.rs` has the like). */
function isLikeALink(text) {
  const host = /^[\p{L}\p{N}.-]+\.[a-z]{2,}\.?([/?#:]|$)/iu;
  const word = (w) => /^[A-Za-z0-9_-]{40,}$/.test(w) || host.test(w.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}/]+$/gu, ""));
  return text.includes("://") || text.includes("/join/") || text.split(/\s+/).some(word);
}

/** Checks a link on this device: the token goes into the fragment, which no request carries. */
function check(text) {
  try {
    const token = canonicalLink(text).split("/join/")[1];
    location.assign(`${to("/check")}#${token}`);
  } catch {
    const said = document.getElementById("not-a-link").content.cloneNode(true);
    const place = document.getElementById("local");
    place.replaceChildren(said);
    place.querySelector("h2").tabIndex = -1;
    place.querySelector("h2").focus();
  }
}

form.addEventListener("submit", (event) => {
  const text = field.value.trim();
  if (text === "") {
    event.preventDefault();
    field.focus();
  } else if (isLikeALink(text)) {
    event.preventDefault();
    check(text);
  }
});

// Addresses while typing: a combobox as the ARIA authoring practices have it. What is typed goes to this node, unless it is
// like a link.
const list = Object.assign(document.createElement("ul"), { className: "proposals", id: "proposals", hidden: true });
const count = Object.assign(document.createElement("p"), { className: "unseen", role: "status" });
let [timer, asking, chosen] = [0, new AbortController(), -1];
list.setAttribute("role", "listbox");
list.setAttribute("aria-label", form.querySelector("label").textContent);
field.after(list, count);
for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id })) {
  field.setAttribute(name, value);
}
const show = (open) => {
  list.hidden = !open;
  field.setAttribute("aria-expanded", String(open));
  choose(-1);
};
const choose = (at) => {
  chosen = at;
  [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
  const option = list.children[at];
  option ? field.setAttribute("aria-activedescendant", option.id) : field.removeAttribute("aria-activedescendant");
  option?.scrollIntoView({ block: "nearest" });
};
const go = (option) => location.assign(to(`/building/${encodeURIComponent(option.dataset.building)}`));
const propose = async (text) => {
  asking = new AbortController();
  const answer = await fetch(`/api/v1/search?limit=6&q=${encodeURIComponent(text)}`, { signal: asking.signal }).catch(() => null);
  if (!answer?.ok) return show(false);
  const { items } = await answer.json();
  if (field.value.trim() !== text) return;
  const options = items.map((house, i) => {
    const option = Object.assign(document.createElement("li"), { id: `proposal-${i}`, textContent: house.address });
    option.setAttribute("role", "option");
    option.dataset.building = house.building;
    return option;
  });
  list.replaceChildren(...options);
  count.textContent = field.dataset.found + items.length;
  show(items.length > 0);
};
field.addEventListener("input", () => {
  clearTimeout(timer);
  asking.abort();
  const text = field.value.trim();
  // An id or a number is asked about whole.
  const isAddress = text.length >= 3 && /\p{L}{2}/u.test(text) && !/^[@-]|^[a-z]+:/.test(text) && !isLikeALink(text);
  if (!isAddress) return show(false);
  timer = setTimeout(() => propose(text), 200);
});
field.addEventListener("keydown", (event) => {
  const last = list.children.length - 1;
  if (list.hidden) return;
  const steps = { ArrowDown: chosen < last ? chosen + 1 : 0, ArrowUp: chosen > 0 ? chosen - 1 : last };
  if (event.key in steps) choose(steps[event.key]);
  else if (event.key === "Escape") show(false);
  else if (event.key === "Enter" && chosen >= 0) go(list.children[chosen]);
  else return;
  event.preventDefault();
});
list.addEventListener("mousedown", (event) => event.preventDefault());
list.addEventListener("click", (event) => event.target.closest("li") && go(event.target.closest("li")));
field.addEventListener("blur", () => show(false));
show(false);

// A poster's QR: where the browser reads codes itself, by a photo or by the camera.
const qr = document.getElementById("qr");
if ("BarcodeDetector" in window) {
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  const video = qr.querySelector("video");
  const say = (text) => (qr.querySelector("[role=status]").textContent = text);
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = true;
  };
  /** A code of a poster: a join link, or this node's own page with the token behind #. Everything else is no chat's link. */
  const read = (code) => {
    stop();
    const own = code.startsWith(`${location.origin}/check`) ? code.split("#")[1] : undefined;
    check(own ? `https://max.ru/join/${own}` : code);
  };
  const look = async (image) => (await detector.detect(image))[0]?.rawValue;
  qr.querySelector("input").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    const code = file && (await look(await createImageBitmap(file)).catch(() => undefined));
    code ? read(code) : say(qr.dataset.none);
  });
  qr.querySelector("button").addEventListener("click", async () => {
    if (stream) return stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      video.hidden = false;
      await video.play();
      while (stream) {
        const code = await look(video).catch(() => undefined);
        if (code) read(code);
        await new Promise((later) => setTimeout(later, 200));
      }
    } catch {
      stop();
      say(qr.dataset.camera);
    }
  });
  qr.hidden = false;
}
