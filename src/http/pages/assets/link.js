// Join links: one canonical spelling of what people paste, or the reason why it leads to no chat (docs/protocol.md, "Join
// links"; src/registry/link.rs and lookalike.rs, with whose vectors this agrees).

import { Refused, utf8 } from "./bytes.js";

const HOST = "max.ru";
const SHORTENERS = "clck.ru bit.ly tinyurl.com goo.gl vk.cc t.co is.gd cutt.ly u.to qr.net qrco.de rb.gy ow.ly goo.su".split(" ");

const INVISIBLE = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]/gu;
/** Between a link and a word written without a space: quotes, brackets, punctuation, pictures. */
const EDGE = String.raw`(?:["'\x60()<>[\]{},;:!*|]|[^\p{ASCII}\p{Alphabetic}\p{N}\p{M}])`;
const EDGES_BEHIND = new RegExp(`(?:\\.|${EDGE})+$`, "u");
const EDGES_BEFORE = new RegExp(`^(?:\\.|${EDGE})+`, "u");
const UP_TO_EDGE = new RegExp(`^.*${EDGE}`, "su");
const WORD_FOLLOWS = new RegExp(`^(?:\\.|[^\\p{ASCII}]|${EDGE})`, "u");

/** Letters drawn like those of `max.ru` (UTS #39; tests/vectors/link_letters.json): what each stands for. */
const LETTERS = new Map(
  Object.entries({
    ".": "٠۰܁܂ꓸ꘎𐩐𞲮",
    "..": "ꓺ",
    a: "ɑαаᗅ⍺ꓮꭤꭺ𐊠𖽀𝽚𝽪",
    aa: "ꜳ",
    ar: "🜇",
    au: "ꜷ",
    n: "νոռበᑎ∩⋂ⲛꓠꓵ𐔓𑪾𖫑𝉅",
    r: "ɍʀгᖇᴦⲅꓣꭇꭈꭱꮁꮢ𐓜𖨙𖼵𝈖",
    rn: "mμϻмՠᗰᛖⲙꓟꮇ𐊰𐌑𐰡𑜀𑣣",
    u: "ʋυսሀᑌᴜ∪⋃ꓴꞟꭎꭒ𐓶𑣘𖽂",
    x: "×χхᕁᕽ᙭᙮ᚷᝣᳵ╳⤫⤬⨯ⲭⵝꓫꭓ𐊐𐊴𐌗𐌢𐔧𐰓𐳂𐳼𑣬",
  }).flatMap(([drawn, letters]) => Array.from(letters, (letter) => [letter, drawn])),
);

/** The letters of an internationalised label (RFC 3492), or null. */
function unpunycode(label) {
  const at = label.lastIndexOf("-");
  const out = Array.from(label.slice(0, Math.max(at, 0)));
  let [n, i, bias, rest] = [128, 0, 72, label.slice(at + 1)];
  while (rest) {
    const old = i;
    for (let w = 1, k = 36; ; k += 36) {
      const digit = "abcdefghijklmnopqrstuvwxyz0123456789".indexOf(rest.charAt(0).toLowerCase());
      if (!rest || digit < 0 || i > 1e9) return null;
      rest = rest.slice(1);
      i += digit * w;
      const t = Math.min(Math.max(k - bias, 1), 26);
      if (digit < t) break;
      w *= 36 - t;
    }
    const length = out.length + 1;
    let delta = Math.floor((i - old) / (old === 0 ? 700 : 2));
    delta += Math.floor(delta / length);
    for (bias = 0; delta > 455; bias += 36) delta = Math.floor(delta / 35);
    bias += Math.floor((36 * delta) / (delta + 38));
    n += Math.floor(i / length);
    i %= length;
    if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000)) return null;
    out.splice(i++, 0, String.fromCodePoint(n));
  }
  return out.join("");
}

/** True where a part of the host is drawn like `max` or `maxru`. */
function looksLikeMax(host) {
  const labels = host.split(".").map((label) => (/^xn--/i.test(label) ? (unpunycode(label.slice(4)) ?? label) : label));
  const plain = labels.join(".").normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "");
  const drawn = Array.from(plain, (letter) => LETTERS.get(letter) ?? letter).join("");
  return drawn.split(/[._-]/).some((part) => part === "rnax" || part === "rnaxru");
}

const upTo = (text, pattern) => {
  const at = text.search(pattern);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
};

/** A dot, and a last part that begins like a word: what is taken for a host without a scheme. */
function isHost(host) {
  const last = Array.from(host.includes(".") ? host.slice(host.lastIndexOf(".") + 1) : "");
  return last.length >= 2 && /\p{Alphabetic}/u.test(last[0]);
}

/** What a piece without white space begins with: {token}, {why, plain}, or nothing; `rest` is a piece of its own. */
function linkIn(piece) {
  const [before, after] = upTo(piece, /[/?#\\]/);
  const plain = !(before.endsWith(":") && after.startsWith("//"));
  const not = (why) => ({ why, plain, rest: "" });
  const word = { rest: "" };
  let [authority, path] = [before, after];
  if (!plain) {
    if (!/^https?$/i.test(/[A-Za-z0-9]*$/.exec(before.slice(0, -1))[0])) return not("scheme");
    [authority, path] = upTo(after.slice(2), /[/?#\\]/);
  }
  if (authority.includes("@")) return plain && path === "" ? word : not("user_info");
  authority = authority.replace(EDGES_BEHIND, "");
  const [, name, port = ""] = /^(.*?)(?::([0-9]*))?$/su.exec(authority);
  let host = plain ? name.replace(UP_TO_EDGE, "") : name;
  host = host.replace(EDGES_BEFORE, "").replace(EDGES_BEHIND, "").toLowerCase();
  if (plain && !isHost(host)) return word;
  host = host.replace(/^www\./, "");
  if (host === "") return not("no_link");
  if (host.endsWith(`.${HOST}`)) return not("no_invitation");
  if (SHORTENERS.includes(host)) return not("shortener");
  if (host !== HOST) return not(looksLikeMax(host) ? "lookalike" : "foreign");
  if (!["", "443", "80"].includes(port)) return not("foreign");
  if (!path.startsWith("/join/")) return not("no_invitation");
  const [token, rest] = upTo(path.slice(6), /[^A-Za-z0-9_-]/);
  if (token.length !== 43 && token.length !== 44) return not("token");
  const more = rest.replace(/^\//, "");
  if (more === "" || /^[?#]/.test(more)) return { token, rest: "" };
  return WORD_FOLLOWS.test(more) ? { token, rest: more } : not("token");
}

function readLink(pasted) {
  const not = (why) => {
    throw Object.assign(new Refused("link.not_chat", why), { reason: why });
  };
  if (utf8(pasted).length > 2048) not("too_long");
  const pieces = pasted.replace(INVISIBLE, "").split(/[\p{White_Space}\p{Cc}]+/u).filter(Boolean);
  let [token, second] = [null, false];
  const refused = [];
  for (let piece of pieces) {
    while (piece) {
      const found = linkIn(piece);
      if (found.token) {
        second ||= token !== null && token !== found.token;
        token = found.token;
      } else if (found.why) {
        // Beside a chat's link, a page of MAX is its advertisement, a damaged link its shortened display.
        const harmless = found.why === "no_invitation" || found.why === "token";
        second ||= !harmless && !(found.plain && found.why === "foreign");
        refused.push(found.why);
      }
      piece = found.rest;
    }
  }
  // A trap is named before anything else is.
  for (const trap of ["lookalike", "user_info"]) if (refused.includes(trap)) not(trap);
  if (token && second) not("two_links");
  if (!token) not(pieces.length ? (refused[0] ?? "no_link") : "empty");
  return token;
}

/** `https://max.ru/join/<token>` of the one chat link in a pasted text; `Refused` has the reason as `reason`. */
export const canonicalLink = (pasted) => `https://${HOST}/join/${readLink(pasted)}`;
