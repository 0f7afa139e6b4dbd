// The forms of what facts, commits and charters are made of: docs/protocol.md, "Common forms" and "Facts".

import { parseJson, refuse, unbase64url, unhex32 } from "./bytes.js";
import { readKey } from "./keys.js";

/** The regions' codes, each with the hours its clocks are ahead of UTC (src/registry/regions.csv; a test compares). */
export const REGIONS = new Map(
  (
    "01+3 02+5 03+8 04+7 05+3 06+3 07+3 08+3 09+3 10+3 11+3 12+3 13+3 14+9 15+3 16+3 17+7 18+4 19+7 20+3 21+3 22+7 23+3 24+7 25+10 " +
    "26+3 27+10 28+9 29+3 30+4 31+3 32+3 33+3 34+3 35+3 36+3 37+3 38+8 39+2 40+3 41+12 42+7 43+3 44+3 45+5 46+3 47+3 48+3 49+11 50+3 " +
    "51+3 52+3 53+3 54+7 55+6 56+5 57+3 58+3 59+5 60+3 61+3 62+3 63+4 64+4 65+11 66+5 67+3 68+3 69+3 70+7 71+3 72+5 73+4 74+5 75+9 " +
    "76+3 77+3 78+3 79+10 83+3 86+5 87+12 89+5 90+3 91+3 92+3 93+3 94+3 95+3"
  )
    .split(" ")
    .map((region) => region.split("+"))
    .map(([code, hours]) => [code, Number(hours)]),
);

const matches = (pattern) => (v) => typeof v === "string" && pattern.test(v);
const integer = (max) => (v) => Number.isInteger(v) && v >= 0 && v <= max;
const HIDDEN = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/u;
const SPACE_AT_END = /^\p{White_Space}|\p{White_Space}$/u;

const isText = (v) =>
  typeof v === "string" && v !== "" && [...v].length <= 500 && !SPACE_AT_END.test(v) && !HIDDEN.test(v) && v.normalize("NFC") === v;

function isDay(v) {
  const parts = typeof v === "string" && /^(\d{4})-(\d{2})-(\d{2})$/.exec(v);
  if (!parts) return false;
  const [year, month, day] = parts.slice(1).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  return year >= 1900 && year <= 2200 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

/** The last digit is the number before it, mod `by`, mod 10. */
const remainder = (digits, by) => {
  const body = Number(digits.slice(0, -1));
  return body !== 0 && Number(digits.at(-1)) === (body % by) % 10;
};

function isInn(digits) {
  const weights = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
  const control = (at) => {
    const sum = weights.slice(weights.length - at).reduce((n, w, i) => n + w * Number(digits[i]), 0);
    return Number(digits[at]) === (sum % 11) % 10;
  };
  return !/^0+$/.test(digits) && (digits.length === 10 ? control(9) : control(10) && control(11));
}

function isOrganisation(v) {
  const [, scheme, id] = (typeof v === "string" && /^([a-z]+):([0-9]+)$/.exec(v)) || [];
  switch (scheme) {
    case "ogrn":
      return id.length === 13 && remainder(id, 11);
    case "ogrnip":
      return id.length === 15 && remainder(id, 13);
    case "inn":
      return (id.length === 10 || id.length === 12) && isInn(id);
    case "reformagkh":
      return /^[1-9][0-9]{0,11}$/.test(id);
    default:
      return false;
  }
}

function isMax(v) {
  const number = typeof v === "string" && /^max:(-?[1-9][0-9]{0,18})$/.exec(v)?.[1];
  return Boolean(number) && BigInt.asIntN(64, BigInt(number)) === BigInt(number);
}

const FORMS = {
  text: isText,
  string: (v) => typeof v === "string",
  bool: (v) => typeof v === "boolean",
  day: isDay,
  ms: integer(Number.MAX_SAFE_INTEGER),
  number: integer(Number.MAX_SAFE_INTEGER),
  u32: integer(0xffffffff),
  u16: integer(0xffff),
  hash: (v) => unhex32(v) !== null,
  key: (v) => readKey(v) !== null,
  kid: (v) => typeof v === "string" && v.length === 43 && unbase64url(v) !== null,
  region: (v) => REGIONS.has(v),
  organisation: isOrganisation,
  oktmo: matches(/^([0-9]{2,3}|[0-9]{8}|[0-9]{11})$/),
  prefix: matches(/^[0-9]{2,11}$/),
  building: matches(
    /^(gar:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|gis:[0-9]{25}-[0-9]{5}|kad:[0-9]{2}:[0-9]{2}:[0-9]{1,7}:[0-9]{1,12}|reformagkh:[1-9][0-9]{0,11})$/,
  ),
  chat: (v) => matches(/^[0-9]{2}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/)(v) && REGIONS.has(v.slice(0, 2)),
  max: isMax,
  bot: matches(/^@[a-z0-9_]{3,64}$/),
  phone: matches(/^(\+7[0-9]{10}|[0-9]{3,6})$/),
};

/** Structures: members in the order of their one spelling; `[` before a form is a list of it, `?` after a name: may be absent. */
const SHAPES = {
  "authority facts":
    "authority:organisation name:text oktmo:[prefix enrolled:hash short_name?:text suspended?:standing succeeded?:succession",
  standing: "record:hash reason?:compromised|duplicate|house_retired|mistake|decision from?:day basis?:basis",
  succession: "successor:organisation record:hash from?:day basis?:basis",
  basis:
    "kind:order|decision|contract|regulation|licence_register|dataset|notice|generated number?:text date?:day issuer?:text document_sha256?:hash signature_sha256?:hash",
  "key facts": "key:key authority:organisation scopes:[text oktmo:[prefix not_before:ms not_after:ms granted:hash revoked?:revocation",
  revocation: "reason:superseded|compromised record:hash suspect_from?:number",
  "building facts":
    "building:building address:text oktmo:oktmo kind:apartment|dormitory|untyped also:[building registered:hash void:bool managements:[management services:[service flats?:u16 year?:u16 emergency?:day applicability?:applicability retired?:retirement objections?:[objection distinct?:[building described?:day",
  management:
    "form:company|owners_association|cooperative|direct|temporary|developer|none|unknown record:hash void:bool organisation?:organisation from?:day observed?:day to?:day ended?:hash contract?:day licence?:day goes_on?:bool",
  service: "kind:dispatcher|emergency|meters|payments|requests|other title:text link?:text bot?:bot phone?:phone",
  applicability: "state:required|exempt reason:flats|emergency|uninhabited|decision",
  retirement: "reason:demolished|merged|split into:[building record:hash from?:day",
  objection: "number:text date:day record:hash outcome?:upheld|rejected resolved_by?:hash closed?:hash to?:day",
  "chat facts": "chat:chat kind:house|entrance|complex title:text buildings:[building rotated:[hash owners:[owner statuses:[status admins:[delegation link?:hash max?:max service_account?:text successor?:chat observed?:observation entrance?:u16 objections?:[objection offered?:offered left?:left arrived?:arrived",
  owner: "authority:organisation record:hash from?:day basis?:basis",
  status:
    "status:declared|official|suspended|closed|replaced|void|moved record:hash from?:day reason?:compromised|duplicate|house_retired|mistake|decision basis?:basis",
  delegation: "organisation:organisation record:hash void:bool from?:day to?:day withdrawn?:hash",
  observation:
    "chat:chat on:day by:hand|bot owner:match|mismatch|unknown administrator:match|mismatch|unknown link:match|mismatch|unknown former_administrator:bool",
  offered: "offer:hash receiving:text to:organisation accept_before:ms",
  left: "offer:hash receiving:text to:organisation accepted:hash",
  arrived: "offer:hash leaving:text from:organisation size:number record:hash",
  link: "link:hash chats:[chat",
  "state.committed": "type:string v:u32 log:string first:number size:number time:ms previous?:hash charter:number root:hash",
  "charter.adopted": "type:string v:u32 log:string version:number sha256:hash",
  "federation.committed":
    "type:string v:u32 log:string size:number time:ms previous?:hash charter:number regions:hash oldest?:ms missing:[region root:hash links:hash count:number bits:u32",
  "federation.regions": "type:string v:u32 log:string regions:[head",
  head: "region:region size:number root:hash time:ms seen:ms",
  charter:
    "format:u32 version:number name:text issued:ms expires:ms previous?:hash root_keys:[key threshold:u32 staleness_hours:u32 record_versions:[u32 regions:[member federation?:federation exceptions?:[exception witnesses?:[outside_witness quorums?:quorums announced?:[announced retired?:[retired cuts?:[cut",
  member:
    "code:region name:text oktmo:[prefix authority:organisation root_keys:[key root_threshold:u32 origin:text log_vkey:text commit_key:key url:text cosigners?:cosigners standing?:member_standing",
  federation: "origin:text log_vkey:text commit_key:key url:text cosigners?:cosigners",
  cosigners: "witness:[text mirror?:text verifier?:text",
  member_standing: "status:suspended|withdrawn since:ms reason:text",
  outside_witness: "name:text vkey:text url:text",
  quorums: "witness:u32 mirror:u32 verifier:u32",
  announced: "role:federation_root|region_root|log|commit|witness|mirror|verifier region?:region key:key from:ms",
  retired: "role:federation_root|region_root|log|commit|witness|mirror|verifier region?:region key:key reason:replaced|lost|compromised version:number",
  cut: "origin:text size:number root:hash reason:text",
  exception: "origin:text index:number leaf:hash",
  bucket: "head:bucket_head siblings:[hash owners:[organisation links:[string pad:string",
  bucket_head: "size:number checkpoint:string commit:string path:[hash",
};

const members = new Map();
function shape(name) {
  if (!members.has(name)) {
    const list = SHAPES[name].split(" ").map((member) => /^([a-z0-9_]+)(\??):(.+)$/.exec(member).slice(1));
    members.set(name, list);
  }
  return members.get(name);
}

/** Whether a value has the form or shape of that name. `inOrder`: members stand in the order of the one spelling. */
export function fits(value, form, inOrder = false) {
  if (form.startsWith("[")) return Array.isArray(value) && value.every((item) => fits(item, form.slice(1), inOrder));
  if (form in FORMS) return FORMS[form](value);
  if (form.includes("|")) return typeof value === "string" && form.split("|").includes(value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  const names = Object.keys(value);
  let known = 0;
  let last = -1;
  for (const [name, optional, inner] of shape(form)) {
    const at = names.indexOf(name);
    if (at < 0 || (value[name] === null && optional && !inOrder)) {
      if (!optional) return false;
      known += at < 0 ? 0 : 1;
      continue;
    }
    if (!fits(value[name], inner, inOrder) || (inOrder && at < last)) return false;
    last = at;
    known += 1;
  }
  return known === names.length;
}

/** A value of that shape; null where the text is not JSON of it. */
export function readJson(text, form) {
  try {
    const value = parseJson(text);
    return fits(value, form) ? value : null;
  } catch (e) {
    if (e instanceof SyntaxError || e instanceof RangeError) return null;
    throw e;
  }
}

/** The same where only one spelling will do: no white space, members in order, no escapes but the necessary. */
export function readSpelled(text, form) {
  try {
    const value = parseJson(text);
    return fits(value, form, true) && JSON.stringify(value) === text ? value : null;
  } catch (e) {
    if (e instanceof SyntaxError || e instanceof RangeError) return null;
    throw e;
  }
}

const CODES = { authority: "organisation.id", building: "building.id", chat: "chat.number", key: "subject.unknown", link: "link.digest" };
const IDS = { authority: "organisation", building: "building", chat: "chat", key: "kid", link: "hash" };

/** The kind of a name that a status proof may be about. */
export function kindOf(name) {
  const at = name.indexOf(":");
  const kind = at < 0 ? name : name.slice(0, at);
  if (!(kind in IDS)) refuse("subject.unknown", `«${name}» is nothing a status proof is about`);
  if (!fits(name.slice(at + 1), IDS[kind])) refuse(CODES[kind], `«${name}» is not in its one spelling`);
  return kind;
}

/** The civil day at a moment, Unix milliseconds, where clocks are so many hours ahead of UTC. */
export function dayOf(ms, hours) {
  const date = new Date(ms + hours * 3_600_000);
  const day = Number.isNaN(date.getTime()) || date.getUTCFullYear() > 2200 ? "2200-12-31" : date.toISOString().slice(0, 10);
  return day < "1900-01-01" ? "1900-01-01" : day;
}

