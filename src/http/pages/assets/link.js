// Join links: one canonical spelling of what people paste (docs/protocol.md, "Join links"; src/registry/link.rs).

import { refuse, utf8 } from "./bytes.js";

const HOST = "max.ru";
const WRAPPING = /^[\p{White_Space}\p{Cc}«»„“”"'`()<>[\]{}.,;:!?…*|\u200b\ufeff\u200e\u200f]$/u;

const notChat = (why) => refuse("link.not_chat", why);

/** Takes white space and punctuation off the ends. */
function trimmed(text, also = "") {
  const letters = [...text];
  const loose = (c) => WRAPPING.test(c) || (also !== "" && also.includes(c));
  let [from, to] = [0, letters.length];
  while (!also && from < to && loose(letters[from])) from += 1;
  while (to > from && loose(letters[to - 1])) to -= 1;
  return letters.slice(from, to).join("");
}

/** `https://max.ru/join/<token>` of a pasted link. */
export function canonicalLink(pasted) {
  if (utf8(pasted).length > 2048) notChat("too long");
  const link = trimmed(pasted);
  if (link === "") notChat("empty");
  const scheme = link.indexOf("://");
  if (scheme >= 0 && !/^https?$/i.test(link.slice(0, scheme))) notChat("neither http nor https");
  const rest = scheme < 0 ? link : link.slice(scheme + 3);
  const end = rest.search(/[/?#\\]/);
  const host = (end < 0 ? rest : rest.slice(0, end)).toLowerCase().replace(/\.$/, "").replace(/^www\./, "");
  if (host !== HOST) notChat("another host than max.ru");
  const path = (end < 0 ? "" : rest.slice(end)).split(/[?#]/)[0];
  if (!path.startsWith("/join/")) notChat("a page of MAX, but no invitation to a chat");
  const token = trimmed(path.slice(6), "/");
  if (!/^[A-Za-z0-9_-]{43,44}$/.test(token)) notChat("the part after /join/ is not 43 or 44 letters, digits, - or _");
  return `https://${HOST}/join/${token}`;
}
