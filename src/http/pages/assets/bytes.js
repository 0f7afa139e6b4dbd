// Bytes and texts as the protocol writes them: each has one spelling, and what is spelled otherwise is refused.
// (docs/protocol.md, "Common forms". The rules are those of src/registry/strict.rs and src/tlog.)

/** What was wrong: `code` is stable and the same as the node's own, docs/errors.md. */
export class Refused extends Error {
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}

export const refuse = (code, detail) => {
  throw new Refused(code, detail);
};

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => ENCODER.encode(text);

/** The text of bytes; null where they are not UTF-8. */
export function textOf(bytes) {
  try {
    return DECODER.decode(bytes);
  } catch {
    return null;
  }
}

export function concat(...parts) {
  const bytes = parts.map((part) => (typeof part === "string" ? utf8(part) : part));
  const all = new Uint8Array(bytes.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const b of bytes) {
    all.set(b, at);
    at += b.length;
  }
  return all;
}

/** SHA-256 of the parts, one after another. */
export async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}

export const byte = (n) => new Uint8Array([n]);

export const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

/** -1, 0 or 1: the order of bytes. */
export function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return Math.sign(a.length - b.length);
}

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** 32 bytes of 64 lower-case hexadecimal digits, or null. */
export function unhex32(text) {
  if (typeof text !== "string" || !/^[0-9a-f]{64}$/.test(text)) return null;
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

export function base64(bytes) {
  let binary = "";
  for (const b of bytes) binary += String.fromCharCode(b);
  return btoa(binary);
}

/** Padded standard base64 in its only spelling, or null. */
export function unbase64(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const binary = atob(text);
  // Bits that nobody reads must be zero: so written again it must be the same.
  return btoa(binary) === text ? Uint8Array.from(binary, (c) => c.charCodeAt(0)) : null;
}

export const base64url = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Unpadded base64url in its only spelling, or null. */
export function unbase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return unbase64(standard.padEnd(Math.ceil(text.length / 4) * 4, "="));
}

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** Bytes from Z85, five characters for four bytes (ZeroMQ RFC 32), which has one spelling; or null. */
export function unz85(text) {
  if (text.length % 5) return null;
  const bytes = new Uint8Array((text.length / 5) * 4);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < text.length; at += 5) {
    const digits = Array.from(text.slice(at, at + 5), (c) => Z85.indexOf(c));
    const n = digits.reduce((n, digit) => n * 85 + digit, 0);
    if (digits.includes(-1) || n >= 2 ** 32) return null;
    view.setUint32((at / 5) * 4, n);
  }
  return bytes;
}

const U64 = 2n ** 64n;

/** An unsigned decimal number of 64 bits in its only spelling, as a BigInt, or null. */
export function decimal(text) {
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text)) return null;
  const n = BigInt(text);
  return n < U64 ? n : null;
}

/** Nesting that is still read. */
const MAX_NESTING = 128;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const BLANK = /[ \t\n\r]*/y;
const WORDS = { true: true, false: false, null: null };

/**
 * Reads JSON strictly: no member twice, no half of a surrogate pair. Numbers that are no integer from 0 to 2^53 − 1 become
 * NaN, which fits nowhere. Throws a SyntaxError.
 */
export function parseJson(text) {
  let at = 0;
  const fail = () => {
    throw new SyntaxError(`JSON at character ${at}`);
  };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) fail();
    at = pattern.lastIndex;
    return found[0];
  };
  const next = (c) => {
    take(BLANK);
    const is = text[at] === c;
    if (is) at += 1;
    return is;
  };
  const need = (c) => next(c) || fail();
  const string = () => {
    take(BLANK);
    const value = JSON.parse(take(STRING));
    return value.isWellFormed() ? value : fail();
  };
  const list = (end, item) => {
    if (next(end)) return;
    do item();
    while (next(","));
    need(end);
  };
  const value = (depth) => {
    if (depth > MAX_NESTING) fail();
    if (next("{")) {
      const object = Object.create(null);
      list("}", () => {
        const name = string();
        if (name in object) fail();
        need(":");
        object[name] = value(depth + 1);
      });
      return object;
    }
    if (next("[")) {
      const items = [];
      list("]", () => items.push(value(depth + 1)));
      return items;
    }
    if (text[at] === '"') return string();
    for (const [word, meaning] of Object.entries(WORDS)) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    const number = take(NUMBER);
    return /^[0-9]+$/.test(number) && Number.isSafeInteger(Number(number)) ? Number(number) : NaN;
  };
  const whole = value(0);
  take(BLANK);
  return at === text.length ? whole : fail();
}
